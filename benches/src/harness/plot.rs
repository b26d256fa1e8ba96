//! A plot of ratios: bars on a logarithmic axis, with the minimum and the maximum of all rounds.

use std::fmt::Write as _;

use super::statistics::Spread;

/// Where the axis begins and ends, and the width of the picture, in pixels.
const LEFT: f64 = 170.0;
const RIGHT: f64 = 640.0;
const WIDTH: f64 = 720.0;

/// The height of a row, of the bar in it, and of everything above the first row, in pixels.
const ROW: f64 = 28.0;
const BAR: f64 = 16.0;
const HEAD: f64 = 56.0;

/// Converts a ratio to a position.
struct Axis {
    least: f64,
    most: f64,
}

impl Axis {
    /// An axis that has room for all bars and for the ratio 1.
    fn around(bars: &[(&str, Spread)]) -> Self {
        let lows = bars.iter().map(|(_, ratio)| ratio.minimum);
        let highs = bars.iter().map(|(_, ratio)| ratio.maximum);
        Self { least: lows.fold(0.8, f64::min).max(1e-3) * 0.9, most: highs.fold(1.25, f64::max) * 1.1 }
    }

    fn x(&self, ratio: f64) -> f64 {
        let share = (ratio.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        LEFT + share * (RIGHT - LEFT)
    }

    /// 1, 2 and 5 times every power of ten on the axis.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let decades = (-3..=5).map(|power| 10_f64.powi(power));
        let ticks = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * decade));
        ticks.filter(|tick| (self.least..=self.most).contains(tick))
    }
}

/// A bar for each name, from 1 to its median. Names that begin with `ours` have a colour of their own.
pub fn bars(title: &str, bars: &[(&str, Spread)]) -> String {
    let axis = Axis::around(bars);
    let bottom = HEAD + ROW * u32::try_from(bars.len()).map_or(0.0, f64::from);
    let height = bottom + 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    );
    for tick in axis.ticks() {
        draw_tick(&mut svg, &axis, tick, bottom);
    }
    let mut top = HEAD;
    for (name, ratio) in bars {
        draw_bar(&mut svg, &axis, (name, ratio), top);
        top += ROW;
    }
    svg.push_str("</svg>\n");
    svg
}

/// The ratio 1, where all bars begin, is darker than the others.
fn draw_tick(svg: &mut String, axis: &Axis, tick: f64, bottom: f64) {
    let (x, is_one) = (axis.x(tick), (tick - 1.0).abs() < 1e-9);
    let colour = if is_one { "#333" } else { "#ddd" };
    let top = HEAD - 8.0;
    let _ = writeln!(svg, "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\" stroke=\"{colour}\"/>");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{tick}</text>", top - 4.0);
}

fn draw_bar(svg: &mut String, axis: &Axis, (name, ratio): (&str, &Spread), top: f64) {
    let (one, end) = (axis.x(1.0), axis.x(ratio.median));
    let (from, width) = (one.min(end), (end - one).abs().max(1.0));
    let (middle, text) = (top + BAR / 2.0, top + BAR - 4.0);
    let (least, most) = (axis.x(ratio.minimum), axis.x(ratio.maximum));
    let colour = if name.starts_with("ours") { "#c2410c" } else { "#64748b" };
    let name = escaped(name);
    let _ = writeln!(svg, "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{name}</text>", LEFT - 8.0);
    let _ = writeln!(
        svg,
        "<rect x=\"{from:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\" fill-opacity=\"0.8\"/>"
    );
    let _ = writeln!(svg, "<line x1=\"{least:.1}\" x2=\"{most:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"#111\"/>");
    let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{text}\">{:.2}</text>", most.max(one) + 6.0, ratio.median);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_room_for_all_bars_and_for_one() {
        let spread = |ratio| Spread { minimum: ratio, median: ratio, maximum: ratio };
        let axis = Axis::around(&[("a", spread(0.5)), ("b", spread(30.0))]);
        assert_eq!(axis.ticks().collect::<Vec<_>>(), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
        for ratio in [0.5, 1.0, 30.0] {
            assert!((LEFT..=RIGHT).contains(&axis.x(ratio)), "{ratio}");
        }
        assert!(axis.x(2.0) - axis.x(1.0) - (axis.x(4.0) - axis.x(2.0)) < 1e-6);
    }

    #[test]
    fn a_plot_has_a_title_and_all_bars() {
        let spread = Spread { minimum: 1.5, median: 1.5, maximum: 1.5 };
        let svg = bars("ours & theirs", &[("ours", spread)]);
        assert!(
            svg.contains("ours &amp; theirs") && svg.contains(">ours</text>") && svg.contains(">1.50</text>"),
            "{svg}"
        );
    }
}
