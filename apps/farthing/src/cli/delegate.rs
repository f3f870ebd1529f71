//! `farthing wallet delegate`: a wallet to hand to a program.

use std::path::PathBuf;

use clap::Args;
use farthing_core::time::Span;
use serde_json::json;

use super::{App, Typed};
use crate::fail::Failure;
use crate::peer;
use crate::show::{confirm, moment};

/// Arguments of `farthing wallet delegate`.
#[derive(Debug, Args)]
pub(crate) struct DelegateArgs {
    /// The most it can ever spend; this is paid into an account of its own
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, required_unless_present = "reclaim")]
    max: Option<Typed>,
    /// For how long it works, such as 1h or 7d
    #[arg(long, value_name = "TIME", default_value = "1h")]
    expires: humantime::Duration,
    /// The new file, to hand to the program: farthing get --wallet FILE
    #[arg(long, value_name = "FILE", required_unless_present = "reclaim")]
    out: Option<PathBuf>,
    /// Take back what such a file has left
    #[arg(long, value_name = "FILE", conflicts_with_all = ["max", "out"])]
    reclaim: Option<PathBuf>,
    /// Only see what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Makes such a file, or takes its money back.
pub(crate) async fn run(app: &App, args: DelegateArgs) -> Result<(), Failure> {
    match (args.reclaim, args.max, args.out) {
        (Some(file), _, _) => reclaim(app, file).await,
        (None, Some(max), Some(out)) => make(app, max, args.expires, out, args.dry_run).await,
        (None, _, _) => Err(Failure::usage("give --max and --out, or --reclaim")),
    }
}

async fn make(app: &App, max: Typed, life: humantime::Duration, out: PathBuf, dry_run: bool) -> Result<(), Failure> {
    let cap = max.some(peer::currency(&app.settings)?)?;
    let out = std::path::absolute(out)?;
    let question = format!("Set {cap} aside for {life} in {}: whoever holds the file can spend it", out.display());
    if dry_run {
        return app.out.result(&json!({ "dry_run": true, "would": question }), || {
            format!("Would: {question}. Nothing was done.")
        });
    }
    if !confirm(app.yes, &format!("{question}. Do it?"))? {
        return Err(Failure::usage("not confirmed; nothing was done"));
    }
    let wallet = peer::open(&app.settings).await?;
    let done = async {
        let bank = wallet.connect().await?;
        let millis = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        let expires = wallet.now().after(Span::from_millis(millis));
        wallet.delegate(&bank, &out, cap, expires).await.map(|()| expires)
    };
    let done = done.await;
    wallet.close().await;
    let expires = done?;
    app.out.result(&json!({ "file": out, "max": cap, "expires": moment(expires) }), || {
        format!(
            "{} can spend {cap} until {}: farthing get --wallet {0} URL\nTake the rest back: farthing wallet delegate \
             --reclaim {0}",
            out.display(),
            moment(expires)
        )
    })
}

async fn reclaim(app: &App, file: PathBuf) -> Result<(), Failure> {
    let wallet = peer::open(&app.settings).await?;
    let done = async {
        let bank = wallet.connect().await?;
        // Nothing there is needed afterwards.
        let workspace = tempfile::tempdir()?;
        let amount = wallet.reclaim(&bank, &file, &workspace.path().join("wallet")).await?;
        Ok::<_, Failure>(amount)
    };
    let done = done.await;
    wallet.close().await;
    let amount = done?;
    app.out.result(&json!({ "reclaimed": amount }), || {
        format!("{amount} came back. What open sessions have set aside comes when they end: reclaim again then.")
    })
}
