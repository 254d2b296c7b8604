//! How the model agrees with this machine: the same cells, simulated on as many CPUs as there are.

use super::{Cell, Place};

/// So far may the model be from the machine.
const WITHIN: f64 = 0.2;
/// Topologies whose live rates differ by less have no order.
const ALIKE: f64 = 0.05;

/// A live cell and its simulated twin.
struct Pair<'a> {
    live: &'a Cell,
    shared: &'a Cell,
}

impl Pair<'_> {
    /// The model's rate over the machine's.
    fn ratio(&self) -> f64 {
        self.shared.figures.rate / self.live.figures.rate.max(1e-9)
    }

    fn is_alike(&self, other: &Pair<'_>) -> bool {
        let (one, other) = (self.live, other.live);
        (one.load.name, one.os, one.workers) == (other.load.name, other.os, other.workers)
    }
}

fn pairs(cells: &[Cell]) -> Vec<Pair<'_>> {
    let twin = |live: &&Cell| {
        cells.iter().find(|cell| {
            cell.place == Place::Shared
                && (cell.load.name, cell.os, cell.shape, cell.workers)
                    == (live.load.name, live.os, live.shape, live.workers)
        })
    };
    let live = cells.iter().filter(|cell| cell.place == Place::Live);
    live.filter_map(|live| Some(Pair { live, shared: twin(&live)? })).collect()
}

/// Pairs of topologies whose live rates differ, and how many of these the model orders as the machine does.
fn orders(pairs: &[Pair<'_>]) -> (usize, usize) {
    let (mut all, mut same) = (0, 0);
    for (at, one) in pairs.iter().enumerate() {
        for other in pairs[at + 1..].iter().filter(|other| one.is_alike(other)) {
            let (first, second) = (one.live.figures.rate, other.live.figures.rate);
            if (first - second).abs() > ALIKE * first.max(second) {
                all += 1;
                let modelled = one.shared.figures.rate > other.shared.figures.rate;
                same += usize::from(modelled == (first > second));
            }
        }
    }
    (all, same)
}

/// In a sentence or two; nothing if there is nothing to compare.
pub(super) fn describe(cells: &[Cell]) -> Option<String> {
    let pairs = pairs(cells);
    if pairs.is_empty() {
        return None;
    }
    let mut ratios: Vec<_> = pairs.iter().map(Pair::ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let near = ratios.iter().filter(|ratio| (*ratio - 1.0).abs() <= WITHIN).count();
    let (all, same) = orders(&pairs);
    let mut text = format!(
        "The model against this machine, rates: {near} of {} cells within {:.0} %, simulated over live {:.2} at the median ({:.2} to {:.2}); \
         of {all} pairs of topologies whose live rates differ by more than {:.0} %, {same} have the same order.",
        ratios.len(),
        WITHIN * 100.0,
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1],
        ALIKE * 100.0
    );
    let mut far: Vec<_> = pairs.iter().filter(|pair| (pair.ratio() - 1.0).abs() > WITHIN).collect();
    far.sort_by(|a, b| b.ratio().ln().abs().total_cmp(&a.ratio().ln().abs()));
    if !far.is_empty() {
        let name = |pair: &&Pair<'_>| {
            let Cell { load, os, shape, workers, .. } = pair.live;
            format!("{} {} on {workers} ({os}) {:.2}", load.name, shape.name(), pair.ratio())
        };
        let named: Vec<_> = far.iter().take(8).map(name).collect();
        text += &format!(" Farthest off: {}.", named.join(", "));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::super::plan::Figures;
    use super::super::shape::Shape;
    use super::*;

    fn cell(place: Place, shape: Shape, rate: f64) -> Cell {
        let figures = Figures { rate, ..Figures::default() };
        Cell { load: &load::ALL[0], place, os: "epoll", shape, workers: 2, figures }
    }

    #[test]
    fn distances_and_orders_are_counted() {
        let cells = [
            cell(Place::Live, Shape::Stealing, 100.0),
            cell(Place::Live, Shape::PerCore, 150.0),
            cell(Place::Live, Shape::Stages, 102.0),
            cell(Place::Shared, Shape::Stealing, 110.0),
            cell(Place::Shared, Shape::PerCore, 300.0),
            cell(Place::Shared, Shape::Stages, 400.0),
        ];
        // Stealing and stages are alike live; of the other two pairs, stages and per-core have another order.
        assert_eq!(orders(&pairs(&cells)), (2, 1));
        let said = describe(&cells).expect("there are pairs");
        assert!(said.contains("1 of 3 cells within 20 %") && said.contains("2.00 at the median"), "{said}");
        assert!(said.contains("Farthest off: balanced stages on 2 (epoll) 3.92"), "{said}");
        assert_eq!(describe(&cells[..3]), None);
    }
}
