//! A request in flight: 32 bytes, two to a cache line, because a reply's time is measured while its
//! entry is being fetched.

use crate::workload::{Request, Verify};

/// See [`super::load`] for the moments.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    pub intended_ns: i64,
    pub sent_ns: i64,
    /// The key's number, or 0.
    key: u64,
    /// Of the value written, or the oldest that a read may return.
    version: u32,
    command: u16,
    marks: u8,
}

/// What a request's intended moment is.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub intended_ns: i64,
    pub measured: bool,
    /// The intended moment is the one of sending.
    pub on_sending: bool,
}

const MEASURED: u8 = 1;
const ON_SENDING: u8 = 1 << 1;
const HAS_KEY: u8 = 1 << 2;
const CAN_MISS: u8 = 1 << 3;
const FILL_ON_MISS: u8 = 1 << 4;
const WRITES: u8 = 1 << 5;
const READS: u8 = 1 << 6;

/// Commands that can be told apart.
pub const COMMANDS_MAX: usize = u16::MAX as usize;

impl Pending {
    #[inline]
    pub fn new(request: &Request, moment: Moment) -> Pending {
        let mark = |given: bool, mark: u8| if given { mark } else { 0 };
        let (verify, version) = match request.verify {
            Verify::Nothing => (0, 0),
            Verify::Write { version } => (WRITES, version),
            Verify::Read { floor } => (READS, floor),
        };
        let marks = mark(moment.measured, MEASURED)
            | mark(moment.on_sending, ON_SENDING)
            | mark(request.key.is_some(), HAS_KEY)
            | mark(request.can_miss, CAN_MISS)
            | mark(request.fill_on_miss, FILL_ON_MISS)
            | verify;
        Pending {
            intended_ns: moment.intended_ns,
            sent_ns: 0,
            key: request.key.unwrap_or(0),
            version,
            // The coordinator lets no plan through with more.
            command: request.command as u16,
            marks,
        }
    }

    #[inline]
    pub fn command(&self) -> usize {
        usize::from(self.command)
    }

    #[inline]
    pub fn is_measured(&self) -> bool {
        self.marks & MEASURED != 0
    }

    #[inline]
    pub fn is_intended_on_sending(&self) -> bool {
        self.marks & ON_SENDING != 0
    }

    #[inline]
    pub fn can_miss(&self) -> bool {
        self.marks & CAN_MISS != 0
    }

    /// The key that a miss calls to be filled.
    #[inline]
    pub fn fill_on_miss(&self) -> Option<u64> {
        (self.marks & (FILL_ON_MISS | HAS_KEY) == FILL_ON_MISS | HAS_KEY).then_some(self.key)
    }

    #[inline]
    pub fn is_verified(&self) -> bool {
        self.marks & (WRITES | READS) != 0
    }

    /// The request again, for whoever made it.
    pub fn request(&self) -> Request {
        Request {
            command: self.command(),
            key: (self.marks & HAS_KEY != 0).then_some(self.key),
            can_miss: self.can_miss(),
            fill_on_miss: self.marks & FILL_ON_MISS != 0,
            verify: match self.marks & (WRITES | READS) {
                WRITES => Verify::Write { version: self.version },
                READS => Verify::Read { floor: self.version },
                _ => Verify::Nothing,
            },
        }
    }
}

impl Moment {
    pub fn unmeasured() -> Moment {
        Moment { intended_ns: 0, measured: false, on_sending: true }
    }

    pub fn on_sending(now_ns: i64) -> Moment {
        Moment { intended_ns: now_ns, measured: now_ns >= 0, on_sending: true }
    }

    pub fn at(intended_ns: i64) -> Moment {
        Moment { intended_ns, measured: intended_ns >= 0, on_sending: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back_as_it_went_in() {
        assert_eq!(size_of::<Pending>(), 32);
        let verifies =
            [Verify::Nothing, Verify::Write { version: 7 }, Verify::Read { floor: u32::MAX }];
        for bits in 0..8 {
            for verify in verifies {
                let request = Request {
                    command: 300,
                    key: (bits & 1 != 0).then_some(u64::MAX),
                    can_miss: bits & 2 != 0,
                    fill_on_miss: bits & 4 != 0,
                    verify,
                };
                let pending = Pending::new(&request, Moment::at(-1));
                assert_eq!(pending.request(), request);
                assert!(!pending.is_measured() && !pending.is_intended_on_sending());
                assert_eq!(pending.fill_on_miss().is_some(), bits & 5 == 5);
            }
        }
        let pending = Pending::new(
            &Pending::new(
                &Request {
                    command: 0,
                    key: None,
                    can_miss: false,
                    fill_on_miss: false,
                    verify: Verify::Nothing,
                },
                Moment::unmeasured(),
            )
            .request(),
            Moment::on_sending(5),
        );
        assert!(pending.is_measured() && pending.is_intended_on_sending());
    }
}
