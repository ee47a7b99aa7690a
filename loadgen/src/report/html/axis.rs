//! From values to places, and the marks between.

/// One dimension of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    min: f64,
    max: f64,
    is_log: bool,
    pub ticks: Vec<Tick>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    pub value: f64,
    pub label: String,
}

/// Values further apart than this factor get a logarithmic axis.
const LINEAR_UP_TO: f64 = 20.0;

/// Above the largest value of a logarithmic axis there is room for a text.
const HEADROOM: f64 = 1.3;

impl Axis {
    /// From zero, with about `steps` marks.
    pub fn from_zero(max: f64, steps: usize, label: impl Fn(f64) -> String) -> Axis {
        let step = nice_step(if max > 0.0 { max } else { 1.0 } / steps as f64);
        let count = (max / step - 1e-9).ceil().max(1.0) as usize;
        let ticks = (0..=count).map(|i| i as f64 * step);
        Axis { min: 0.0, max: count as f64 * step, is_log: false, ticks: labelled(ticks, label) }
    }

    /// For positive values from `min` to `max`: from zero if they are near each other, else
    /// logarithmic, with marks at 1, (2, 5,) 10, ...
    pub fn of_range(min: f64, max: f64, steps: usize, label: impl Fn(f64) -> String) -> Axis {
        if min * LINEAR_UP_TO > max || min <= 0.0 {
            return Axis::from_zero(max, steps, label);
        }
        let fine = marks(min, max, &[1.0, 2.0, 5.0]);
        let (min, max) = (fine[0], fine[fine.len() - 1]);
        let ticks = if fine.len() <= steps * 2 { fine } else { marks(min, max, &[1.0]) };
        let ticks = ticks.into_iter().filter(|mark| (min..=max).contains(mark));
        Axis { min, max, is_log: true, ticks: labelled(ticks, label) }
    }

    /// With these marks; ends where told.
    pub fn with_ticks(min: f64, max: f64, ticks: Vec<Tick>) -> Axis {
        Axis { min, max, is_log: false, ticks }
    }

    pub fn is_log(&self) -> bool {
        self.is_log
    }

    pub fn max(&self) -> f64 {
        self.max
    }

    /// 0 at the low end, 1 at the high one; values beyond stay at the ends.
    pub fn place(&self, value: f64) -> f64 {
        let (low, high, value) = match self.is_log {
            true => (self.min.ln(), self.max.ln(), value.max(self.min).ln()),
            false => (self.min, self.max, value),
        };
        match high - low {
            width if width > 0.0 => ((value - low) / width).clamp(0.0, 1.0),
            _ => 0.5,
        }
    }
}

fn labelled(values: impl Iterator<Item = f64>, label: impl Fn(f64) -> String) -> Vec<Tick> {
    values.map(|value| Tick { value, label: label(value) }).collect()
}

/// 1, 2 or 5 times a power of ten, the next one up.
fn nice_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * power >= rough * 0.999);
    digit.unwrap_or(10.0) * power
}

/// The numbers `digits` times a power of ten, from the last one that is at most `min` to the first
/// one well above `max`.
fn marks(min: f64, max: f64, digits: &[f64]) -> Vec<f64> {
    let first = min.log10().floor() as i32;
    let last = (max * HEADROOM).log10().ceil() as i32;
    let all: Vec<f64> =
        (first..=last).flat_map(|e| digits.iter().map(move |d| d * 10_f64.powi(e))).collect();
    let from = all.iter().rposition(|&mark| mark <= min * 1.001).unwrap_or(0);
    let to = all.iter().position(|&mark| mark >= max * HEADROOM).unwrap_or(all.len() - 1);
    all[from..=to].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn linear_axes_have_round_marks_and_hold_everything() {
        let axis = Axis::from_zero(12_600.0, 4, |v| v.to_string());
        assert_eq!(labels(&axis), ["0", "5000", "10000", "15000"]);
        assert_eq!((axis.place(0.0), axis.place(15_000.0), axis.place(7_500.0)), (0.0, 1.0, 0.5));
        assert_eq!(labels(&Axis::from_zero(0.0, 4, |v| v.to_string())).len(), 2);
        assert_eq!(labels(&Axis::from_zero(20.0, 4, |v| v.to_string())).last(), Some(&"20"));
    }

    #[test]
    fn far_apart_is_logarithmic() {
        let axis = Axis::of_range(80_000.0, 21_000_000.0, 5, |v| v.to_string());
        assert!(axis.is_log());
        assert_eq!(axis.ticks[0].value, 50_000.0);
        assert_eq!(axis.max(), 50_000_000.0);
        assert!((axis.place(500_000.0) - 1.0 / 3.0).abs() < 1e-9);
        assert!(!Axis::of_range(80_000.0, 210_000.0, 5, |v| v.to_string()).is_log());
        let decades = Axis::of_range(1.0, 1e9, 5, |v| v.to_string());
        assert!(decades.ticks.iter().all(|tick| tick.value.log10().fract() == 0.0));
    }

    #[test]
    fn a_single_value_has_a_place() {
        let axis = Axis::of_range(5.0, 5.0, 4, |v| v.to_string());
        assert!(axis.place(5.0) <= 1.0);
        assert_eq!(Axis::with_ticks(3.0, 3.0, Vec::new()).place(3.0), 0.5);
    }
}
