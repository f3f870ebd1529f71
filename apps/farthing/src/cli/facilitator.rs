//! `farthing facilitator`: what a server with stock x402 software is configured with.

use clap::Args;
use farthing_bank::facilitator::FacilitatorPass;
use farthing_core::time::{Span, Time};
use farthing_driver::{Clock, SystemClock};
use serde_json::json;

use super::App;
use crate::fail::{Context, Failure};
use crate::peer;

/// Arguments of `farthing facilitator`.
#[derive(Debug, Args)]
pub(crate) struct FacilitatorArgs {
    /// How long the pass holds, by which the server may let payments go and settle for less
    #[arg(long = "for", value_name = "TIME", default_value = "30days")]
    life: humantime::Duration,
}

/// Shows the bank's facilitator and the account to be paid, and makes a pass.
pub(crate) async fn run(app: &App, args: FacilitatorArgs) -> Result<(), Failure> {
    let (wallet, bank) = peer::owner(app).await?;
    let millis = u64::try_from(args.life.as_millis()).or_fail("the pass would hold too long")?;
    let until: Time = SystemClock.now().after(Span::from_millis(millis));
    let pass = FacilitatorPass::issue(wallet.key(), bank.network(), until);
    let (network, currency) = (format!("farthing:{}", bank.network()), bank.info().body().currency);
    let (url, pay_to) = (bank.address().endpoint().to_string(), wallet.me());
    wallet.close().await;
    let json = json!({
        "facilitator": url, "network": network, "scheme": "batch-settlement", "currency": currency, "pay_to": pay_to,
        "pass": pass, "until": crate::show::moment(until),
    });
    app.out.result(&json, || {
        format!(
            "facilitator  {url}\nnetwork      {network}\nscheme       batch-settlement\ncurrency     {currency}\n\
             payTo        {pay_to}\npass         {pass}\n\
             The pass speaks for your account to the facilitator: keep it with the server's secrets."
        )
    })
}
