//! The table as a chart: a bar for each ratio, on a logarithmic axis, so that half and double look alike.

use std::path::Path;

use plotters::prelude::*;

use crate::table::Row;

const WIDTH: u32 = 900;
/// Pixels of a bar, and between two workloads.
const BAR: u32 = 11;
const GAP: u32 = 12;
const COLOURS: [RGBColor; 5] = [
    RGBColor(31, 92, 168),
    RGBColor(160, 160, 160),
    RGBColor(222, 158, 65),
    RGBColor(110, 165, 215),
    RGBColor(120, 170, 120),
];
/// Space for the workloads' names.
const LABELS: i32 = 250;
const TOP: i32 = 60;

/// Draws all but the first peer, which is what the others are compared with.
pub fn draw(path: &Path, peers: &[&str], rows: &[Row]) {
    let bars = u32::try_from(peers.len() - 1).unwrap();
    let row_height = bars * BAR + GAP;
    let height = u32::try_from(TOP).unwrap() + row_height * u32::try_from(rows.len()).unwrap() + 20;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE).unwrap();
    let largest = rows
        .iter()
        .flat_map(|row| (1..peers.len()).map(|peer| row.ratio(peer)))
        .fold(4.0, f64::max);
    let smallest: f64 = 0.25;
    let plot = f64::from(i32::try_from(WIDTH).unwrap() - LABELS - 60);
    let x = |ratio: f64| {
        let share = (ratio.max(smallest) / smallest).ln() / (largest / smallest).ln();
        LABELS + (share * plot) as i32
    };
    let text = |size: u32| ("sans-serif", size).into_font().color(&BLACK);
    for (peer, name) in peers.iter().enumerate().skip(1) {
        let left = LABELS + i32::try_from(peer - 1).unwrap() * 130;
        let square = [(left, 10), (left + 12, 22)];
        area.draw(&Rectangle::new(square, COLOURS[peer - 1].filled()))
            .unwrap();
        area.draw(&Text::new((*name).to_owned(), (left + 18, 11), text(13)))
            .unwrap();
    }
    let bottom = i32::try_from(height).unwrap() - 15;
    for mark in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0] {
        if mark <= largest {
            let line = PathElement::new([(x(mark), TOP - 12), (x(mark), bottom)], BLACK.mix(0.25));
            area.draw(&line).unwrap();
            area.draw(&Text::new(
                format!("{mark}x"),
                (x(mark) - 8, TOP - 28),
                text(12),
            ))
            .unwrap();
        }
    }
    for (number, row) in rows.iter().enumerate() {
        let top = TOP + i32::try_from(row_height).unwrap() * i32::try_from(number).unwrap();
        area.draw(&Text::new(row.name, (8, top + 8), text(13)))
            .unwrap();
        for peer in 1..peers.len() {
            let top = top + i32::try_from(BAR).unwrap() * i32::try_from(peer - 1).unwrap();
            let bar = [(x(smallest), top), (x(row.ratio(peer)), top + 9)];
            area.draw(&Rectangle::new(bar, COLOURS[peer - 1].filled()))
                .unwrap();
        }
        let target = x(row.target);
        let height = i32::try_from(bars * BAR).unwrap();
        area.draw(&PathElement::new(
            [(target, top - 2), (target, top + height)],
            RED.stroke_width(2),
        ))
        .unwrap();
    }
    area.present().unwrap();
}
