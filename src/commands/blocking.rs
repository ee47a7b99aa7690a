//! What commands have in common that may wait for data; see [`Wait`].

use super::{Command, CommandError, Context, Handler, Outcome, Readiness, Spread, Wait};
use crate::protocol::Args;
use crate::store::Kind;
use crate::text::number;

/// A wait for so long is for ever: moments that lie far behind it still have numbers.
const FOR_EVER_US: u64 = 1 << 62;

/// The time that a client is willing to wait, given in seconds; in microseconds, a millisecond or
/// more. `None`, for 0: as long as it takes.
pub fn timeout_in_seconds(argument: &[u8]) -> Result<Option<u64>, CommandError> {
    let seconds = number::parse_f64(argument).filter(|seconds| !seconds.is_nan());
    let text = "ERR timeout is not a float or out of range";
    let millis = (seconds.ok_or(CommandError::text(text))? * 1e3).ceil();
    // In Redis the moment has to fit too, in milliseconds since 1970.
    if millis > (i64::MAX - (1 << 41)) as f64 {
        return Err(CommandError::text("ERR timeout is out of range"));
    }
    if millis < 0.0 {
        return Err(CommandError::text("ERR timeout is negative"));
    }
    let micros = (millis as u64).saturating_mul(1000);
    Ok((micros > 0 && micros < FOR_EVER_US).then_some(micros))
}

/// The command as it runs where nobody can wait: from the first of its keys that is ready, or not
/// at all. The handler of every row with [`Spread::Wait`].
pub fn without_waiting(context: &mut Context<'_>, args: Args<'_>, row: &Command) -> Outcome {
    let Handler::Keyed(_, Spread::Wait(wait)) = row.handler else {
        debug_assert!(false, "{} does not wait", row.name);
        return Err(CommandError::Syntax);
    };
    (wait.timeout)(args)?;
    match first_ready(context, args, wait, row.awaited_positions(args)) {
        Some(position) => (wait.serve)(context, args, position),
        None => {
            (wait.nothing)(&mut context.reply);
            Ok(())
        }
    }
}

/// Whether there is a value of this kind at the key, none of which is ever empty.
pub fn readiness_of(kind: Kind, context: &Context<'_>, key: &[u8]) -> Readiness {
    match context.peek(key).map(|entry| entry.kind()) {
        None => Readiness::Nothing,
        Some(found) if found == kind => Readiness::Ready,
        Some(_) => Readiness::Unfit,
    }
}

/// The first of these keys that is ready, or that a command that has just come complains of.
pub fn first_ready(
    context: &Context<'_>,
    args: Args<'_>,
    wait: &Wait,
    mut positions: impl Iterator<Item = usize>,
) -> Option<usize> {
    positions.find(|&position| (wait.ready)(context, args.at(position)) != Readiness::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_seconds_rounded_up_to_milliseconds() {
        let parse = |text: &str| timeout_in_seconds(text.as_bytes());
        for (text, micros) in [
            ("0", None),
            ("-0", None),
            ("0.0001", Some(1000)),
            ("1", Some(1_000_000)),
            ("0.0015", Some(2000)),
            ("4611686018427", Some(4_611_686_018_427_000_000)),
            ("4611686018428", None),
            ("9223369000000000", None),
        ] {
            assert_eq!(parse(text), Ok(micros), "{text}");
        }
        for (text, error) in [
            ("", "ERR timeout is not a float or out of range"),
            ("soon", "ERR timeout is not a float or out of range"),
            ("nan", "ERR timeout is not a float or out of range"),
            ("-1", "ERR timeout is negative"),
            ("-0.5", "ERR timeout is negative"),
            ("9223372036854775", "ERR timeout is out of range"),
            ("inf", "ERR timeout is out of range"),
            ("1e300", "ERR timeout is out of range"),
        ] {
            let refused = parse(text).expect_err(text);
            assert_eq!(refused.message(), error.as_bytes(), "{text}");
        }
    }
}
