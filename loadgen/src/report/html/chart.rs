//! A chart as SVG: grid, lines, labels, and its description for those who do not see it.

use super::axis::Axis;
use super::escape::Escaped;
use super::put;

const WIDTH: f64 = 920.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 44.0;

/// A chart being drawn. Places are between 0 and 1 on both axes until they become pixels here.
pub struct Chart {
    id: &'static str,
    title: String,
    description: String,
    height: f64,
    pub x: Axis,
    pub y: Axis,
    x_name: String,
    y_name: String,
    body: String,
}

/// Which way a text next to a point goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Chart {
    /// `height` in pixels of a page 920 wide; `id` is the only one of its name in the page.
    pub fn new(id: &'static str, height: f64, x: Axis, y: Axis) -> Self {
        let (title, description) = (String::new(), String::new());
        let (x_name, y_name, body) = (String::new(), String::new(), String::new());
        Chart { id, title, description, height, x, y, x_name, y_name, body }
    }

    /// What a screen reader says instead of the picture.
    pub fn described(mut self, title: &str, description: String) -> Self {
        self.title = title.to_owned();
        self.description = description;
        self
    }

    pub fn named(mut self, x: &str, y: &str) -> Self {
        self.x_name = x.to_owned();
        let log = if self.y.is_log() { ", logarithmic" } else { "" };
        self.y_name = if y.is_empty() { String::new() } else { format!("{y}{log}") };
        self
    }

    /// A line through points; `None` interrupts it.
    pub fn line(&mut self, class: &str, points: impl IntoIterator<Item = Option<(f64, f64)>>) {
        let mut path = String::new();
        let mut pen_is_down = false;
        let mut last = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        let mut skipped = None;
        for point in points {
            let Some((x, y)) = point.map(|(x, y)| self.pixel(x, y)) else {
                if let Some((x, y)) = skipped.take() {
                    put(&mut path, format_args!("L{x:.1} {y:.1}"));
                }
                pen_is_down = false;
                continue;
            };
            if !pen_is_down {
                // A point with gaps on both sides shows as a dot.
                put(&mut path, format_args!("M{x:.1} {y:.1}h.01"));
            } else if (x - last.0).abs() < 0.4 && (y - last.1).abs() < 0.4 {
                skipped = Some((x, y));
                continue;
            } else {
                put(&mut path, format_args!("L{x:.1} {y:.1}"));
            }
            (pen_is_down, last, skipped) = (true, (x, y), None);
        }
        if let Some((x, y)) = skipped {
            put(&mut path, format_args!("L{x:.1} {y:.1}"));
        }
        if !path.is_empty() {
            put(&mut self.body, format_args!("<path class=\"line {class}\" d=\"{path}\"/>\n"));
        }
    }

    /// A point with a text that pointing at it shows.
    pub fn dot(&mut self, class: &str, point: (f64, f64), tip: &str) {
        let (x, y) = self.pixel(point.0, point.1);
        put(
            &mut self.body,
            format_args!(
                "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}\
                 </title></circle>\n",
                Escaped(tip)
            ),
        );
    }

    /// A text beside a point, `rise` pixels above it.
    pub fn text(&mut self, class: &str, point: (f64, f64), rise: f64, anchor: Anchor, text: &str) {
        let (x, y) = self.pixel(point.0, point.1);
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        put(
            &mut self.body,
            format_args!(
                "<text class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}\
                 </text>\n",
                y - rise,
                Escaped(text)
            ),
        );
    }

    /// A line across the chart at a value of y, or of x.
    pub fn level(&mut self, class: &str, y: f64) {
        let y = self.pixel(0.0, y).1;
        let (left, right) = (LEFT, WIDTH - RIGHT);
        self.straight(class, (left, y), (right, y));
    }

    pub fn upright(&mut self, class: &str, x: f64) {
        let x = self.pixel(x, 0.0).0;
        let (top, bottom) = (TOP, self.height - BOTTOM);
        self.straight(class, (x, top), (x, bottom));
    }

    /// Shades everything to the right of a value of x.
    pub fn shade_from(&mut self, x: f64) {
        let from = self.pixel(x, 0.0).0;
        let (width, height) = (WIDTH - RIGHT - from, self.height - TOP - BOTTOM);
        put(
            &mut self.body,
            format_args!(
                "<rect class=\"shade\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" \
                 height=\"{height:.1}\"/>\n"
            ),
        );
    }

    pub fn svg(self) -> String {
        let Chart { id, height, .. } = self;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\n\
             <title id=\"{id}-t\">{}</title>\n<desc id=\"{id}-d\">{}</desc>\n",
            Escaped(&self.title),
            Escaped(&self.description),
        );
        self.grid(&mut svg);
        svg.push_str(&self.body);
        svg.push_str("</svg>\n");
        svg
    }

    fn grid(&self, svg: &mut String) {
        let (bottom, right) = (self.height - BOTTOM, WIDTH - RIGHT);
        for tick in &self.y.ticks {
            let y = self.pixel(0.0, tick.value).1;
            put(
                svg,
                format_args!(
                    "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text class=\"tick\" \
                     x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                    LEFT - 8.0,
                    y + 4.0,
                    Escaped(&tick.label),
                ),
            );
        }
        for tick in &self.x.ticks {
            let x = self.pixel(tick.value, 0.0).0;
            put(
                svg,
                format_args!(
                    "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/><text class=\"tick\" \
                     x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                    bottom + 17.0,
                    Escaped(&tick.label),
                ),
            );
        }
        put(
            svg,
            format_args!(
                "<text class=\"name\" x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                self.height - 6.0,
                Escaped(&self.x_name)
            ),
        );
        put(
            svg,
            format_args!(
                "<text class=\"name\" x=\"{LEFT}\" y=\"{:.1}\">{}</text>\n",
                TOP - 10.0,
                Escaped(&self.y_name)
            ),
        );
    }

    fn straight(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        put(
            &mut self.body,
            format_args!(
                "<path class=\"line {class}\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>\n",
                from.0, from.1, to.0, to.1
            ),
        );
    }

    fn pixel(&self, x: f64, y: f64) -> (f64, f64) {
        let wide = WIDTH - LEFT - RIGHT;
        let high = self.height - TOP - BOTTOM;
        (LEFT + self.x.place(x) * wide, TOP + (1.0 - self.y.place(y)) * high)
    }
}

/// The key of a chart, above it: class and text of each line.
pub fn legend(entries: &[(&str, String)]) -> String {
    let mut html = String::from("<p class=\"legend\">");
    for (class, text) in entries {
        let text = Escaped(text);
        put(&mut html, format_args!("<span><i class=\"{class}\"></i>{text}</span> "));
    }
    html.push_str("</p>\n");
    html
}

/// `50 µs`, `2 ms`: a mark's time, with no more digits than it needs.
pub fn time_label(ns: f64) -> String {
    let (value, unit) = match ns {
        0.0 => return "0".into(),
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{} {unit}", (value * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let label = |value: f64| value.to_string();
        Chart::new("c", 300.0, Axis::from_zero(10.0, 5, label), Axis::from_zero(10.0, 5, label))
    }

    #[test]
    fn lines_have_gaps_and_drop_points_that_nobody_could_see() {
        let mut chart = chart();
        let steps = (0..1_000).map(|i| Some((1.0 + f64::from(i) * 1e-6, 5.0)));
        chart.line("a", steps.chain([None, Some((8.0, 1.0)), None, None]));
        assert_eq!(chart.body.matches('M').count(), 2);
        assert_eq!(chart.body.matches('L').count(), 1);
        chart.line("b", [None, None]);
        assert!(!chart.body.contains("line b"));
    }

    #[test]
    fn labels_of_marks() {
        let labels = [0.0, 500.0, 50_000.0, 2_000_000.0, 1.5e9].map(time_label);
        assert_eq!(labels, ["0", "500 ns", "50 µs", "2 ms", "1.5 s"]);
    }

    #[test]
    fn texts_are_escaped() {
        let mut chart = chart().described("<t>", "<d>".into()).named("<x>", "<y>");
        chart.text("label", (1.0, 1.0), 0.0, Anchor::Start, "<b>");
        chart.dot("a", (1.0, 1.0), "<i>");
        let svg = chart.svg() + &legend(&[("s1", "<l>".into())]);
        for raw in ["<t>", "<d>", "<x>", "<y>", "<b>", "<i>", "<l>"] {
            assert!(!svg.contains(raw), "{raw}");
        }
    }
}
