//! Draws `instructions.svg` from what `benches/instructions --json` printed, beside the best known figures of other kits.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

/// Instructions a packet elsewhere, forwarding one way at batch 32, as published with TinyNF and its Rust successor and
/// for ixy: what they count is the same, how flexible they are differs.
const OTHERS: [(&str, f64); 4] =
    [("TinyNF, C, in place", 28.0), ("TinyNF, Rust, flexible", 81.0), ("ixy, C", 127.0), ("ixy.rs", 215.0)];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(json), Some(svg)) = (args.next(), args.next()) else {
        return Err("say which JSON file to read and which SVG file to write".into());
    };
    let counts: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json)?)?;
    let ours = |key: &str| counts[key].as_f64().ok_or(format!("the JSON has no number '{key}'"));
    let mut bars =
        vec![("this kit, in place", ours("in_place")?, true), ("this kit, bursts", ours("burst")?, true)];
    bars.extend(OTHERS.map(|(name, count)| (name, count, false)));
    bars.sort_by(|a, b| a.1.total_cmp(&b.1));
    draw(Path::new(&svg), &bars)
}

fn draw(path: &Path, bars: &[(&str, f64, bool)]) -> Result<(), Box<dyn Error>> {
    const SIZE: (u32, u32) = (760, 300);
    let most = bars.iter().map(|bar| bar.1).fold(1.0, f64::max) * 1.08;
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let rows = bars.len() as f64;
    let mut chart = ChartBuilder::on(&root)
        .caption("Instructions a packet, forwarding one way, batch of 32", ("sans-serif", 17))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(150)
        .build_cartesian_2d(0.0..most, 0.0..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_desc("instructions inside the driver's calls (fewer is better)")
        .draw()?;
    for (row, (name, count, ours)) in bars.iter().rev().enumerate() {
        let color = if *ours { RGBColor(0x1f, 0x77, 0xb4) } else { RGBColor(0xbb, 0xbb, 0xbb) };
        let (low, high) = (row as f64 + 0.18, row as f64 + 0.82);
        chart.draw_series([Rectangle::new([(0.0, low), (*count, high)], color.filled())])?;
        let (x, y) = chart.backend_coord(&(*count, row as f64 + 0.5));
        root.draw_text(&format!("{count:.0}"), &("sans-serif", 14).into_text_style(&root), (x + 6, y - 7))?;
        root.draw_text(name, &("sans-serif", 14).into_text_style(&root), (14, y - 7))?;
    }
    root.present()?;
    Ok(())
}
