//! Natural numbers of any size: as much of them as [`super::long_double`] needs to round correctly.

/// A natural number of any size, lowest limb first, without zeros on top.
pub(super) struct Natural(Vec<u64>);

impl From<u128> for Natural {
    fn from(value: u128) -> Self {
        let mut big = Natural(vec![value as u64, (value >> 64) as u64]);
        big.trim();
        big
    }
}

impl Natural {
    pub(super) fn from_digits(digits: &[u8]) -> Self {
        let mut big = Natural(Vec::with_capacity(digits.len() / 19 + 1));
        for chunk in digits.chunks(19) {
            let value = chunk.iter().fold(0_u64, |value, &digit| value * 10 + u64::from(digit));
            big.times_plus(10_u64.pow(chunk.len() as u32), value);
        }
        big
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    pub(super) fn bits(&self) -> u32 {
        self.0.last().map_or(0, |top| self.0.len() as u32 * 64 - top.leading_zeros())
    }

    fn times_plus(&mut self, factor: u64, addend: u64) {
        let mut carry = u128::from(addend);
        for limb in &mut self.0 {
            let product = u128::from(*limb) * u128::from(factor) + carry;
            *limb = product as u64;
            carry = product >> 64;
        }
        if carry != 0 {
            self.0.push(carry as u64);
        }
    }

    pub(super) fn times_power_of_ten(&mut self, mut power: u32) {
        while power > 0 {
            let step = power.min(19);
            self.times_plus(10_u64.pow(step), 0);
            power -= step;
        }
    }

    pub(super) fn shift_left(&mut self, bits: u32) {
        self.times_plus(1 << (bits % 64), 0);
        self.0.splice(0..0, std::iter::repeat_n(0, bits as usize / 64));
        self.trim();
    }

    /// The quotient, which must have at most `bits` (below 128) bits, and whether there is a
    /// remainder. Uses both numbers up.
    pub(super) fn divide(mut self, divisor: &mut Natural, bits: u32) -> (u128, bool) {
        divisor.shift_left(bits - 1);
        let mut quotient = 0;
        for _ in 0..bits {
            quotient <<= 1;
            if self.subtract_if_not_less(divisor) {
                quotient |= 1;
            }
            self.times_plus(2, 0);
        }
        (quotient, !self.0.is_empty())
    }

    fn subtract_if_not_less(&mut self, other: &Natural) -> bool {
        let by_size = self.0.len().cmp(&other.0.len());
        let order = by_size.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()));
        if order.is_lt() {
            return false;
        }
        let mut borrow = false;
        for (i, limb) in self.0.iter_mut().enumerate() {
            let (value, first) = limb.overflowing_sub(other.0.get(i).copied().unwrap_or(0));
            let (value, second) = value.overflowing_sub(u64::from(borrow));
            *limb = value;
            borrow = first || second;
        }
        self.trim();
        true
    }

    pub(super) fn push_decimal(mut self, out: &mut Vec<u8>) {
        const CHUNK: u64 = 10_u64.pow(19);
        let mut chunks = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0_u128;
            for limb in self.0.iter_mut().rev() {
                let dividend = rest << 64 | u128::from(*limb);
                *limb = (dividend / u128::from(CHUNK)) as u64;
                rest = dividend % u128::from(CHUNK);
            }
            self.trim();
            chunks.push(rest as u64);
        }
        super::number::push_u64(out, chunks.pop().unwrap_or(0));
        for chunk in chunks.iter().rev() {
            out.extend_from_slice(format!("{chunk:019}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divides_as_machine_integers_do() {
        let mut seed = 0xda94_2042_e4dd_58b5_u64;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for _ in 0..2000 {
            let a = u128::from(random()) << 60 | u128::from(random() >> (random() % 64));
            let b = (u128::from(random()) >> (random() % 60)).max(1);
            let (quotient, rest) = Natural::from(a).divide(&mut Natural::from(b), 127);
            assert_eq!((quotient, rest), (a / b, a % b != 0), "{a} / {b}");
        }
    }

    #[test]
    fn digits_powers_and_shifts() {
        let mut number = Natural::from_digits(&[1, 2, 3]);
        number.times_power_of_ten(40);
        number.shift_left(131);
        assert_eq!(number.bits(), 123_f64.log2() as u32 + 132 + 133);
        let mut out = Vec::new();
        Natural::from_digits(&[7; 100]).push_decimal(&mut out);
        assert_eq!(out, [b'7'; 100]);
    }
}
