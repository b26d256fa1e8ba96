//! A plot of what entrants are to one of them: bars on a logarithmic axis, with the least and the most of all rounds.

use std::fmt::Write as _;

use dog_benches::summary::Spread;

use crate::ratios::{paired, spread};
use crate::scenario::Scenario;
use crate::store::Store;

/// Where the axis begins and ends, from the left, and how wide all is.
const LEFT: f64 = 170.0;
const RIGHT: f64 = 640.0;
const WIDTH: f64 = 720.0;

/// How high a bar's row is, the bar itself, and what stands above all rows.
const ROW: f64 = 28.0;
const BAR: f64 = 16.0;
const HEAD: f64 = 56.0;

/// Each entrant's main figure as a ratio to that of the base: uWebSockets if it is there, else whoever is first.
pub(crate) fn ratios(store: &Store, scenario: &Scenario) -> Option<String> {
    let main = scenario.kind.figures().first()?;
    let mut candidates = [&"uWebSockets"].into_iter().chain(scenario.entrants.iter().map(|entrant| &entrant.name));
    let base = *candidates.find(|name| spread(store, (scenario.name, name), main).is_some())?;
    let bar = |name: &'static str| Some((name, paired(store, (scenario.name, name), (scenario.name, base), main)?));
    let bars: Vec<(&str, Spread)> = scenario.entrants.iter().filter_map(|entrant| bar(entrant.name)).collect();
    let what = main.title.split(',').next().unwrap_or(main.title);
    Some(draw(&format!("{}: {what} ÷ that of {base}", scenario.title), &bars))
}

/// From a ratio to its place.
struct Axis {
    least: f64,
    most: f64,
}

impl Axis {
    /// So wide that all of the bars are on it, and one is.
    fn around(bars: &[(&str, Spread)]) -> Self {
        let lows = bars.iter().map(|(_, ratio)| ratio.minimum);
        let highs = bars.iter().map(|(_, ratio)| ratio.maximum);
        Self { least: lows.fold(0.8, f64::min).max(1e-3) * 0.9, most: highs.fold(1.25, f64::max) * 1.1 }
    }

    fn x(&self, ratio: f64) -> f64 {
        let share = (ratio.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        LEFT + share * (RIGHT - LEFT)
    }

    /// 1, 2 and 5 of every power of ten that is on it.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let decades = (-3..=5).map(|power| 10_f64.powi(power));
        let ticks = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * decade));
        ticks.filter(|tick| (self.least..=self.most).contains(tick))
    }
}

fn draw(title: &str, bars: &[(&str, Spread)]) -> String {
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

/// One, which all bars begin at, is drawn darker.
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
    use crate::ratios::tests::run;
    use crate::scenarios::SCENARIOS;

    #[test]
    fn an_axis_has_all_bars_and_one_on_it() {
        let spread = |ratio| Spread { minimum: ratio, median: ratio, maximum: ratio };
        let axis = Axis::around(&[("a", spread(0.5)), ("b", spread(30.0))]);
        assert_eq!(axis.ticks().collect::<Vec<_>>(), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
        for ratio in [0.5, 1.0, 30.0] {
            assert!((LEFT..=RIGHT).contains(&axis.x(ratio)), "{ratio}");
        }
        assert!(axis.x(2.0) - axis.x(1.0) - (axis.x(4.0) - axis.x(2.0)) < 1e-6);
    }

    #[test]
    fn a_plot_names_its_base_and_all_bars() {
        let store = run(&[("floor", [2.0, 4.0]), ("ours", [3.0, 6.0])]);
        let svg = ratios(&store, &SCENARIOS[0]).unwrap();
        assert!(svg.contains("One message in flight: CPU per delivery ÷ that of floor"), "{svg}");
        assert!(svg.contains(">ours</text>") && svg.contains(">1.50</text>"), "{svg}");
        assert!(ratios(&run(&[]), &SCENARIOS[0]).is_none());
    }
}
