//! The options of SET and GETEX that say how long a value lives.

use crate::commands::CommandError;
use crate::protocol::Args;
use crate::store::UnixMs;
use crate::text::number;

/// What the options ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime<'a> {
    /// None was given.
    #[default]
    Unsaid,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// EX, PX, EXAT or PXAT.
    Until(ExpireTime<'a>),
}

/// A time as a client gave it, not yet checked: SET and GETEX do so after they know all options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpireTime<'a> {
    pub value: &'a [u8],
    pub unit: Unit,
    pub base: Base,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Milliseconds,
}

/// What a time counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Now,
    Epoch,
}

impl Unit {
    pub fn in_ms(self) -> u64 {
        match self {
            Unit::Seconds => 1000,
            Unit::Milliseconds => 1,
        }
    }
}

impl Base {
    pub fn moment(self, now: UnixMs) -> UnixMs {
        match self {
            Base::Now => now,
            Base::Epoch => 0,
        }
    }
}

impl<'a> Lifetime<'a> {
    /// Reads the option at `args[at]` if it is one of these, and gives the arguments it took: 0 if
    /// it is none of them. The same option may come again, another one may not.
    pub fn read(&mut self, args: Args<'a>, at: usize) -> Result<usize, CommandError> {
        let option = args.at(at);
        let plain = if option.eq_ignore_ascii_case(b"KEEPTTL") {
            Lifetime::Keep
        } else if option.eq_ignore_ascii_case(b"PERSIST") {
            Lifetime::Persist
        } else {
            let Some((unit, base)) = time_option(option) else { return Ok(0) };
            let value = args.get(at + 1).ok_or(CommandError::Syntax)?;
            match *self {
                Lifetime::Unsaid => {}
                Lifetime::Until(time) if time.unit == unit && time.base == base => {}
                _ => return Err(CommandError::Syntax),
            }
            *self = Lifetime::Until(ExpireTime { value, unit, base });
            return Ok(2);
        };
        if *self != Lifetime::Unsaid && *self != plain {
            return Err(CommandError::Syntax);
        }
        *self = plain;
        Ok(1)
    }
}

/// What EX, PX, EXAT and PXAT say of the time that follows them.
pub fn time_option(option: &[u8]) -> Option<(Unit, Base)> {
    match option.len() {
        2 if option.eq_ignore_ascii_case(b"EX") => Some((Unit::Seconds, Base::Now)),
        2 if option.eq_ignore_ascii_case(b"PX") => Some((Unit::Milliseconds, Base::Now)),
        4 if option.eq_ignore_ascii_case(b"EXAT") => Some((Unit::Seconds, Base::Epoch)),
        4 if option.eq_ignore_ascii_case(b"PXAT") => Some((Unit::Milliseconds, Base::Epoch)),
        _ => None,
    }
}

impl ExpireTime<'_> {
    /// The moment it names, which may have passed.
    ///
    /// # Errors
    /// It is no integer, not above zero, or too late for 64 bits; `command` is named in the text.
    pub fn resolve(&self, command: &'static str, now: UnixMs) -> Result<UnixMs, CommandError> {
        let value = number::parse_i64(self.value).ok_or(CommandError::NotInteger)?;
        let (factor, base) = (self.unit.in_ms(), self.base.moment(now));
        let at = u64::try_from(value).ok().filter(|&value| value > 0);
        at.and_then(|value| value.checked_mul(factor)?.checked_add(base))
            .filter(|&at| at <= i64::MAX as u64)
            .ok_or(CommandError::InvalidExpireTime(command))
    }
}
