//! Two sides run in turn, and the table of what came of it.

use std::time::Instant;

use comfy_table::presets::UTF8_BORDERS_ONLY;

/// How many rounds each side runs; the median of an odd number is one that happened.
const ROUNDS: usize = 5;

/// What a ratio should reach.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

/// Two rates measured in turn.
#[derive(Clone, Debug)]
pub struct Race {
    /// What was measured.
    pub what: String,
    /// Ours, operations per second.
    pub ours: f64,
    /// The baseline, operations per second.
    pub baseline: f64,
    /// The median of the rounds' ratios.
    pub ratio: f64,
    /// What the ratio should reach.
    pub goal: Goal,
}

impl Race {
    /// Runs two sides in turn. Each returns how many operations it did and how many seconds it took
    /// for them, so that preparation does not count.
    pub fn run(
        what: impl Into<String>,
        goal: Goal,
        mut ours: impl FnMut() -> (u64, f64),
        mut baseline: impl FnMut() -> (u64, f64),
    ) -> Self {
        let rate = |(count, seconds): (u64, f64)| count as f64 / seconds.max(1e-9);
        let mut rounds: Vec<(f64, f64)> = Vec::with_capacity(ROUNDS);
        // Warms caches and pages; not counted.
        ours();
        baseline();
        for round in 0..ROUNDS {
            // The one that goes first changes, so that a drift of the machine favours neither.
            let pair = if round % 2 == 0 {
                let a = rate(ours());
                (a, rate(baseline()))
            } else {
                let b = rate(baseline());
                (rate(ours()), b)
            };
            rounds.push(pair);
        }
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            what: what.into(),
            ours: median(rounds.iter().map(|r| r.0).collect()),
            baseline: median(rounds.iter().map(|r| r.1).collect()),
            ratio: median(rounds.iter().map(|r| r.0 / r.1).collect()),
            goal,
        }
    }

    fn reached(&self) -> bool {
        match self.goal {
            Goal::AtLeast(goal) => self.ratio >= goal,
            Goal::AtMost(goal) => self.ratio <= goal,
        }
    }
}

/// The races of one bench, printed as they finish.
#[derive(Debug, Default)]
pub struct Table(Vec<Race>);

impl Table {
    /// Notes a race.
    pub fn add(&mut self, race: Race) {
        eprintln!("  {}: {:.3}", race.what, race.ratio);
        self.0.push(race);
    }

    /// Prints the table.
    pub fn print(&self, title: &str) {
        let mut table = comfy_table::Table::new();
        table.load_style(UTF8_BORDERS_ONLY).set_header(["what", "ours /s", "baseline /s", "ratio", "goal", ""]);
        for race in &self.0 {
            let goal = match race.goal {
                Goal::AtLeast(goal) => format!(">= {goal}"),
                Goal::AtMost(goal) => format!("<= {goal}"),
            };
            let verdict = if race.reached() { "reached" } else { "missed" };
            table.add_row([
                race.what.clone(),
                rate(race.ours),
                rate(race.baseline),
                format!("{:.3}", race.ratio),
                goal,
                verdict.into(),
            ]);
        }
        println!("{title} (medians of {ROUNDS} alternating rounds)\n{table}");
    }
}

fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 1e6 => format!("{:.2} M", r / 1e6),
        r if r >= 1e3 => format!("{:.1} k", r / 1e3),
        r => format!("{r:.2}"),
    }
}

/// Runs a step and says how many seconds it took.
pub fn timed<R>(step: impl FnOnce() -> R) -> (R, f64) {
    let begun = Instant::now();
    let result = step();
    (result, begun.elapsed().as_secs_f64())
}
