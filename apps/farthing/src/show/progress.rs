//! Progress, on terminals only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Out;

const TICK: Duration = Duration::from_millis(120);

/// A bar of so many bytes, with room for a message behind it.
pub(crate) fn bar(out: Out, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("  {bar:28} {percent:>3}%  {bytes} of {total_bytes}  {msg}");
    made(out, ProgressBar::with_draw_target(Some(total), target(out)), style)
}

/// Something that takes a while, and nobody knows how long.
pub(crate) fn spinner(out: Out, what: impl Into<String>) -> ProgressBar {
    let style = ProgressStyle::with_template("  {spinner} {msg}");
    made(out, ProgressBar::with_draw_target(None, target(out)), style).with_message(what.into())
}

fn target(out: Out) -> ProgressDrawTarget {
    if out.draws() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

fn made(out: Out, bar: ProgressBar, style: Result<ProgressStyle, indicatif::style::TemplateError>) -> ProgressBar {
    if out.draws() {
        bar.enable_steady_tick(TICK);
    }
    // The templates are ours and sound; the plain style would do as well.
    match style {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
