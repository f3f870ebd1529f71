//! `farthing wallet delegate`: a wallet to hand to a program.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use farthing_bank::client::BankClient;
use farthing_client::{Options, PayingClient};
use farthing_core::amount::Amount;
use farthing_core::time::Span;
use farthing_peer::wallet::coupon::Reclaimed;
use farthing_peer::wallet::{Wallet, WalletError};
use serde::Serialize;
use serde_json::json;

use super::{App, Typed};
use crate::fail::Failure;
use crate::peer;
use crate::show::{confirm, count, moment};

/// The shortest life of such a file: the shortest session, and some time to open it in.
const LIFE_MIN: Duration = Duration::from_secs(180);

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
    /// Take back what such a file has left, and close its sessions
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
    if *life < LIFE_MIN {
        let least = humantime::format_duration(LIFE_MIN);
        return Err(Failure::usage(format_args!("a wallet for {life} could open no session; nothing was done"))
            .next(format_args!("give --expires {least} or more")));
    }
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
        wallet.delegate(&bank, &out, cap, expires).await?;
        Ok::<_, Failure>(expires)
    };
    let done = done.await;
    wallet.close().await;
    let expires = match done {
        Ok(expires) => expires,
        // It is there only if money may be in its account.
        Err(why) if out.exists() => {
            let next = format!("take back what has arrived: farthing wallet delegate --reclaim {}", out.display());
            return Err(why.next(next));
        }
        Err(why) => return Err(why),
    };
    app.out.result(&json!({ "file": out, "max": cap, "expires": moment(expires) }), || {
        format!(
            "{} can spend {cap} until {}: farthing get --wallet {0} URL\nTake the rest back: farthing wallet delegate \
             --reclaim {0}",
            out.display(),
            moment(expires)
        )
    })
}

/// A session of a delegate that could not be closed.
#[derive(Debug, Serialize)]
struct Open {
    site: String,
    left: Amount,
    until: String,
    why: String,
}

async fn reclaim(app: &App, file: PathBuf) -> Result<(), Failure> {
    let wallet = peer::open(&app.settings).await?;
    let done = async {
        let bank = wallet.connect().await?;
        let (closed, open) = close_sessions(&wallet, &bank, &file).await?;
        let mut held = wallet.settings().currency().zero();
        for session in &open {
            held = held.checked_add(session.left).map_err(Failure::other)?;
        }
        // Nothing there is needed afterwards.
        let workspace = tempfile::tempdir()?;
        let reclaimed = wallet.reclaim(&bank, &file, &workspace.path().join("wallet"), held).await?;
        Ok::<_, Failure>((reclaimed, closed, open))
    };
    let done = done.await;
    wallet.close().await;
    let (reclaimed, closed, open) = done?;
    let Reclaimed { back, held, expires } = reclaimed;
    let json = json!({
        "reclaimed": back, "closed": closed, "held": held, "until": (!held.is_zero()).then(|| moment(expires)),
        "open": open,
    });
    app.out.result(&json, || reclaimed_words(&reclaimed, closed, &open, &file))
}

/// Ends the sessions that the delegate has opened from this machine: how many, and those that are
/// still open.
async fn close_sessions(wallet: &Wallet, bank: &BankClient, file: &Path) -> Result<(u32, Vec<Open>), Failure> {
    let theirs = match wallet.delegate_here(file).await {
        Ok(Some(theirs)) => theirs,
        Ok(None) => return Ok((0, Vec::new())),
        Err(WalletError::InUse(_)) => {
            return Err(Failure::damaged(format_args!("a program is using {} just now", file.display()))
                .next("stop it, so that its sessions can be closed, and run this again"));
        }
        Err(why) => return Err(why.into()),
    };
    let done = async {
        let client = PayingClient::new(theirs.clone(), Options::default())?;
        // What it was paid and has not redeemed, if making it broke off.
        theirs.redeem(bank).await?;
        let (mut closed, mut open) = (0_u32, Vec::new());
        for session in theirs.coupon_sessions().await? {
            let Ok(site) = session.site.parse() else { continue };
            match client.close(&site).await {
                Ok(done) => closed = closed.saturating_add(done.sessions),
                Err(why) => open.push(Open {
                    left: session.held.checked_sub(session.paid).map_err(Failure::other)?,
                    until: moment(session.not_after),
                    site: session.site,
                    why: why.to_string(),
                }),
            }
        }
        Ok((closed, open))
    };
    let done = done.await;
    theirs.close().await;
    done
}

fn reclaimed_words(reclaimed: &Reclaimed, closed: u32, open: &[Open], file: &Path) -> String {
    let Reclaimed { back, held, expires } = reclaimed;
    let mut text = format!("{back} came back.");
    if closed > 0 {
        let _ = write!(text, " {} closed.", count(closed.into(), "session"));
    }
    if held.is_zero() {
        text.push_str(" Nothing is left that the file could spend.");
        return text;
    }
    let _ = write!(
        text,
        "\n{held} is still set aside in sessions: whoever holds the file can spend it there and nowhere else, until \
         {} UTC at the latest.",
        moment(*expires)
    );
    for session in open {
        let _ = write!(text, "\n  {} at {} until {}: {}", session.left, session.site, session.until, session.why);
    }
    if open.is_empty() {
        text.push_str("\nIt is in sessions that were just closed or were opened on another machine.");
    }
    let _ = write!(text, "\nReclaim again then: farthing wallet delegate --reclaim {}", file.display());
    text
}
