//! The chart as a picture.

use std::error::Error;

use plotters::prelude::*;

/// One horizontal bar for each way, the first on top.
pub(crate) fn draw(file: &str, bars: &[(&str, f64)]) -> Result<(), Box<dyn Error>> {
    let (width, row, label) = (900, 44, 330);
    let height = 60 + row * bars.len() as u32;
    let root = SVGBackend::new(file, (width, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let text = |size: u32| TextStyle::from(("sans-serif", size).into_font()).color(&BLACK);
    root.draw(&Text::new("Server CPU a request (ns); shorter is better", (16, 16), text(18)))?;
    let most = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    for (at, (name, value)) in bars.iter().enumerate() {
        let top = 52 + (at as u32 * row) as i32;
        let length = (f64::from(width - label - 110) * value / most) as i32;
        let colour = if name.contains("pirn") { RGBColor(40, 110, 180) } else { RGBColor(150, 160, 170) };
        root.draw(&Text::new((*name).to_owned(), (16, top + 8), text(15)))?;
        root.draw(&Rectangle::new(
            [(label as i32, top), (label as i32 + length, top + 28)],
            colour.filled(),
        ))?;
        root.draw(&Text::new(format!("{value:.0}"), (label as i32 + length + 8, top + 8), text(15)))?;
    }
    root.present()?;
    Ok(())
}
