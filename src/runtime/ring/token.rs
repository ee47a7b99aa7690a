//! What travels as `user_data` with an operation: which operation, and on which connection.

/// A connection on a ring. `index` is its slot; `generation` differs for every use of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub index: u32,
    pub generation: u32,
}

/// Slots are numbered with 24 bits.
pub(super) const INDEX_MAX: u32 = (1 << INDEX_BITS) - 1;
const INDEX_BITS: u32 = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Operation {
    /// Completions that nobody waits for: failed closes, for example.
    Unanswered = 0,
    Receive = 1,
    Send = 2,
    Accept = 3,
    Bell = 4,
    Timer = 5,
    /// At the ring that is rung.
    Rung = 6,
    /// At the ring that rings, if it could not; the index is the number of the rung one.
    Ring = 7,
    /// Of a receive or a send, which could not be cancelled.
    CancelReceive = 8,
    CancelSend = 9,
}

/// `generation` in the upper half, then eight bits of operation, then 24 of index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub operation: Operation,
    pub key: Key,
}

impl Token {
    const fn without_key(operation: Operation) -> Token {
        Token { operation, key: Key { index: 0, generation: 0 } }
    }

    pub const fn unanswered() -> Token {
        Token::without_key(Operation::Unanswered)
    }

    pub const fn bell() -> Token {
        Token::without_key(Operation::Bell)
    }

    pub const fn timer() -> Token {
        Token::without_key(Operation::Timer)
    }

    pub const fn rung() -> Token {
        Token::without_key(Operation::Rung)
    }

    pub const fn of_peer(index: u32) -> Token {
        Token { operation: Operation::Ring, key: Key { index, generation: 0 } }
    }

    pub const fn of_listener(index: u32) -> Token {
        Token { operation: Operation::Accept, key: Key { index, generation: 0 } }
    }

    pub const fn to_bits(self) -> u64 {
        (self.key.generation as u64) << 32
            | (self.operation as u64) << INDEX_BITS
            | (self.key.index & INDEX_MAX) as u64
    }

    pub const fn from_bits(bits: u64) -> Token {
        let operation = match (bits >> INDEX_BITS) as u8 {
            1 => Operation::Receive,
            2 => Operation::Send,
            3 => Operation::Accept,
            4 => Operation::Bell,
            5 => Operation::Timer,
            6 => Operation::Rung,
            7 => Operation::Ring,
            8 => Operation::CancelReceive,
            9 => Operation::CancelSend,
            _ => Operation::Unanswered,
        };
        let key = Key { index: bits as u32 & INDEX_MAX, generation: (bits >> 32) as u32 };
        Token { operation, key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_back() {
        use Operation::*;
        let connections = [Receive, Send, CancelReceive, CancelSend];
        let others = [Unanswered, Accept, Bell, Timer, Rung, Ring];
        for operation in connections.into_iter().chain(others) {
            for index in [0, 1, INDEX_MAX] {
                for generation in [0, 1, u32::MAX] {
                    let token = Token { operation, key: Key { index, generation } };
                    assert_eq!(Token::from_bits(token.to_bits()), token);
                }
            }
        }
    }
}
