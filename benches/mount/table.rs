//! The table of ratios.

use std::time::Duration;

use crate::median;
use crate::peers::{Peer, Requests};
use crate::workloads::Workload;

/// One turn of one peer.
pub struct Cell {
    pub elapsed: Duration,
    pub requests: Requests,
}

/// All turns at one workload, a list for each peer.
pub struct Row {
    pub name: &'static str,
    pub target: f64,
    pub cells: Vec<Vec<Cell>>,
}

impl Row {
    pub fn new(workload: &Workload, peers: &[Peer]) -> Row {
        Row {
            name: workload.name,
            target: workload.target,
            cells: peers.iter().map(|_| Vec::new()).collect(),
        }
    }

    fn time(&self, peer: usize) -> Duration {
        median(self.cells[peer].iter().map(|cell| cell.elapsed))
    }

    /// How many times the time of the first peer, which is native.
    pub fn ratio(&self, peer: usize) -> f64 {
        self.time(peer).as_secs_f64() / self.time(0).as_secs_f64()
    }

    /// How many requests of each kind a turn took, the most frequent first; that of the middle turn.
    fn requests(&self, peer: usize) -> Vec<(&str, u64)> {
        let mut turns: Vec<&Requests> =
            self.cells[peer].iter().map(|cell| &cell.requests).collect();
        turns.sort_by_key(|requests| requests.values().sum::<u64>());
        let kinds = turns[turns.len() / 2].iter();
        let mut kinds: Vec<(&str, u64)> = kinds
            .map(|(kind, count)| (kind.as_str(), *count))
            .filter(|(_, count)| *count > 0)
            .collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        kinds
    }
}

/// Prints it as Markdown, with the geometric means as the last line.
pub fn print(peers: &[&str], rows: &[Row]) {
    let others: Vec<usize> = (1..peers.len()).collect();
    let heads: Vec<&str> = others.iter().map(|peer| peers[*peer]).collect();
    println!(
        "| workload | native, ms | {} | target | requests |",
        heads.join(" | ")
    );
    println!("| --- | --- |{} --- | --- |", " --- |".repeat(others.len()));
    for row in rows {
        let ratios: Vec<String> = others
            .iter()
            .map(|peer| format!("{:.2}", row.ratio(*peer)))
            .collect();
        let verdict = if row.ratio(1) <= row.target {
            ""
        } else {
            ", missed"
        };
        println!(
            "| {} | {:.1} | {} | {}{verdict} | {} |",
            row.name,
            row.time(0).as_secs_f64() * 1e3,
            ratios.join(" | "),
            row.target,
            row.requests(1).iter().map(|(_, count)| count).sum::<u64>()
        );
    }
    let means: Vec<String> = others
        .iter()
        .map(|peer| {
            format!(
                "{:.2}",
                geometric_mean(rows.iter().map(|row| row.ratio(*peer)))
            )
        })
        .collect();
    println!(
        "| geometric mean | | {} | {:.2} | |",
        means.join(" | "),
        geometric_mean(rows.iter().map(|row| row.target))
    );
    println!("requests of the kernel to mesa:");
    for row in rows {
        let kinds = row.requests(1).into_iter();
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        println!("- {}: {}", row.name, kinds.join(", "));
    }
}

fn geometric_mean(ratios: impl Iterator<Item = f64>) -> f64 {
    let logarithms: Vec<f64> = ratios.map(f64::ln).collect();
    (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp()
}
