//! Carries out requests with an open wallet.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use farthing_bank::client::BankClient;
use farthing_bank::messages::{Progress as BankProgress, Text};
use farthing_client::Options as ClientOptions;
use farthing_core::amount::Amount;
use farthing_core::wire;
use farthing_dialects::receipt::reference;
use farthing_gateway::report::{Report, Revenue};
use farthing_peer::shop::Folders;
use farthing_peer::wallet::coupon::Settled;
use farthing_peer::wallet::{ADDRESSES_MAX, Happened, Risk as WalletRisk, Wallet, What};
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::money::{AskFor, Asked, act, contacts, door, drafts, take};
use super::request::{
    Done, Earnings, Exposure, History, Line, Moved, ReceiptLine, Receipts, Redeemed, Request, Risk, Session,
    SessionReceipt, SessionsEnded, Standing,
};
use super::{buying, selling};
use crate::cli::get;
use crate::config::Settings;
use crate::control::{Attend, Progress};
use crate::fail::{Context, Failure};
use crate::secrets;
use crate::shares::Shares;
use crate::show::{count, moment};
use farthing_net::peer::{Node, NodeConfig, PeerLimits};

/// What a process says that has a shop open.
pub(crate) const SELLS: &str = "selling";

/// How often the bank is asked whether a seller has cleared, and the pause between.
const LOOKS: u32 = 12;
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// How long to wait for the addresses we listen at.
const ADDRESSES_TIME: Duration = Duration::from_secs(5);

/// An open wallet, ready to be asked.
pub(crate) struct Attendant {
    wallet: Wallet,
    settings: Settings,
    node: OnceCell<Arc<Node>>,
    folders: Option<Folders>,
}

impl Attend for Attendant {
    fn attend(self: Arc<Self>, request: Value, progress: Progress) -> BoxFuture<'static, Result<Value, Failure>> {
        Box::pin(async move {
            let request: Request = serde_json::from_value(request)
                .or_fail("the request makes no sense; are two versions of this program running")?;
            self.carry_out(request, progress).await
        })
    }
}

impl Attendant {
    /// For a wallet that nobody else has open.
    pub(crate) fn new(wallet: Wallet, settings: Settings) -> Self {
        Self { wallet, settings, node: OnceCell::new(), folders: None }
    }

    /// The same, on the network already and with a shop open that sells these folders.
    pub(crate) fn of_shop(node: Arc<Node>, folders: Folders, wallet: Wallet, settings: Settings) -> Self {
        Self { wallet, settings, node: OnceCell::new_with(Some(node)), folders: Some(folders) }
    }

    /// The wallet.
    pub(crate) const fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// The way to other peers; to buy, nobody needs to be let in.
    pub(super) async fn node(&self) -> Result<&Arc<Node>, Failure> {
        self.node.get_or_try_init(|| async { start_node(&self.wallet, &self.settings, false) }).await
    }

    /// The settings.
    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where payers find us; nowhere unless a door is open.
    pub(crate) async fn addresses(&self) -> Vec<String> {
        let (Some(_), Ok(node)) = (&self.folders, self.node().await) else { return Vec::new() };
        let mut known = tokio::time::timeout(ADDRESSES_TIME, node.listen_addrs()).await.unwrap_or_default();
        // Those on this machine are of use to few.
        known.sort_by_key(|address| {
            address.to_string().starts_with("/ip4/127.") || address.to_string().starts_with("/ip6/::1")
        });
        known.iter().map(ToString::to_string).take(ADDRESSES_MAX).collect()
    }

    /// Makes a request for payment.
    pub(crate) async fn ask_for(&self, ask: &AskFor) -> Result<Asked, Failure> {
        if let Some(bank) = act::bank(self).await {
            take::be_ready(&self.wallet, &bank).await;
        }
        take::ask_for(&self.wallet, ask, &self.addresses().await).await
    }

    /// Carries out one request.
    pub(crate) async fn carry_out(&self, request: Request, progress: Progress) -> Result<Value, Failure> {
        match request {
            Request::Ping => {
                let words = if self.folders.is_some() { SELLS } else { "here" };
                value(&Done { words: words.to_owned() })
            }
            Request::Standing => value(&self.standing().await?),
            Request::Fund { amount, note } => {
                let note =
                    Text::new(note).ok_or_else(|| Failure::usage("the note is too long or holds hidden characters"))?;
                let bank = self.wallet.connect().await?;
                let progress = self.wallet.fund(&bank, amount, note).await?;
                self.moved(&bank, amount, progress).await
            }
            Request::Payout { amount, to } => {
                let wrong = || Failure::usage("the destination is too long or holds hidden characters");
                let destination = Text::new(to).ok_or_else(wrong)?;
                let bank = self.wallet.connect().await?;
                let progress = self.wallet.payout(&bank, amount, destination).await?;
                self.moved(&bank, amount, progress).await
            }
            Request::Deposit { amount, withdraw } => {
                let bank = self.wallet.connect().await?;
                let balances = self.wallet.deposit(&bank, amount, withdraw).await?;
                self.moved(&bank, amount, BankProgress::Done(balances)).await
            }
            Request::Earnings => value(&self.earnings().await?),
            Request::Redeem => value(&self.redeem().await?),
            Request::Exposure => value(&self.exposure().await?),
            Request::History { limit } => value(&self.history(limit).await?),
            Request::Receipts => value(&self.receipts().await?),
            Request::EndSessions { site } => value(&self.end_sessions(&site).await?),
            Request::Reconcile => {
                let restored = self.wallet.is_restored();
                let bank = self.wallet.connect().await?;
                let report = self.wallet.reconcile(&bank).await?;
                let words = match restored {
                    true => {
                        "Books were compared with the bank's. The wallet pays again, from new chains; the bank \
                             refuses whatever another copy of it asks."
                    }
                    false => "Whatever was left unanswered is settled.",
                };
                let sessions = self.end_doubtful(&bank).await?;
                let trouble = report.trouble().map(|why| format!("\nNot all of it: {why}")).unwrap_or_default();
                value(&Done { words: format!("{words}{sessions}{trouble}") })
            }
            Request::Backup { file, passphrase } => {
                self.wallet.backup(&file, &secrets::protection(passphrase.map(|hidden| hidden.0))?).await?;
                value(&Done { words: format!("Everything is in {}.", file.display()) })
            }
            Request::Buy(buy) => value(&buying::buy(self, buy, progress).await?),
            Request::Reshare => {
                let Some(shop) = &self.folders else {
                    return value(&Done { words: "no shop is open here".to_owned() });
                };
                shop.replace(selling::folders(&Shares::read(&self.settings.home)?.all)).await?;
                value(&Done { words: SELLS.to_owned() })
            }
            Request::Pay(pay) => value(&act::pay(self, pay).await?),
            Request::Resume { at } => value(&act::resume(self, at.as_deref()).await?),
            Request::AskFor(ask) => value(&self.ask_for(&ask).await?),
            Request::AwaitPaid { order } => value(&door::await_paid(&self.wallet, order).await?),
            Request::Take { text } => value(&take::take(&self.wallet, &text).await?),
            Request::TakeReceipt { text } => value(&take::take_receipt(&self.wallet, &text).await?),
            Request::Contacts => value(&contacts::list(&self.wallet).await?),
            Request::AddContact(known) => value(&contacts::add(&self.wallet, known).await?),
            Request::RenameContact { name, new } => {
                self.wallet.rename_contact(&name, &new).await?;
                value(&contacts::list(&self.wallet).await?)
            }
            Request::RemoveContact { name } => {
                self.wallet.remove_contact(&name).await?;
                value(&contacts::list(&self.wallet).await?)
            }
            Request::Drafts => value(&drafts::list(&self.wallet).await?),
            Request::DepositDrafts => value(&drafts::deposit(&self.wallet).await?),
            Request::StopDraft { draft } => value(&drafts::stop(&self.wallet, &draft).await?),
            Request::DisputeDraft { draft } => value(&drafts::dispute(&self.wallet, &draft).await?),
        }
    }

    /// Ends the sessions with a web site.
    async fn end_sessions(&self, site: &str) -> Result<SessionsEnded, Failure> {
        let site = site.parse().map_err(Failure::usage)?;
        let client = get::client(self.wallet.clone(), &site, ClientOptions::default())?;
        let ended = SessionsEnded::of(&client.close(&site).await?)?;
        if !ended.unanswered.is_zero()
            && let Ok(bank) = self.wallet.connect().await
        {
            self.settle_sessions(&bank).await?;
        }
        Ok(ended)
    }

    /// Ends every session in which something was paid without a receipt: its seller clears it, and the
    /// bank says what was charged.
    async fn end_doubtful(&self, bank: &BankClient) -> Result<String, Failure> {
        let (mut words, mut ended) = (String::new(), 0_u32);
        for session in self.wallet.coupon_sessions().await? {
            if session.unanswered.is_zero() {
                continue;
            }
            let Ok(site) = session.site.parse() else { continue };
            let client = get::client(self.wallet.clone(), &site, ClientOptions::default())?;
            match client.close(&site).await {
                Ok(closed) => ended = ended.saturating_add(closed.sessions),
                Err(why) => {
                    let _ = write!(
                        words,
                        "\nThe session with {} goes on, {} of it in doubt: {why}",
                        session.site, session.unanswered
                    );
                }
            }
        }
        let settled = self.settle_sessions(bank).await?;
        if ended > 0 {
            let _ = write!(words, "\n{} with payments in doubt ended.", count(ended.into(), "session"));
        }
        if !settled.back.is_zero() {
            let _ = write!(words, "\nBy the bank's books {} less was paid than was counted here.", settled.back);
        }
        if settled.open > 0 {
            let open = count(settled.open.into(), "session");
            let _ = write!(words, "\n{open} in doubt not cleared by the seller yet: run this again later.");
        }
        Ok(words)
    }

    /// Books what the bank says of sessions that ended in doubt; their sellers are given a moment to
    /// clear them.
    async fn settle_sessions(&self, bank: &BankClient) -> Result<Settled, Failure> {
        let mut all = self.wallet.coupon_settle(bank).await?;
        for _ in 0..LOOKS {
            if all.open == 0 {
                break;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
            let more = self.wallet.coupon_settle(bank).await?;
            all = Settled { back: all.back.checked_add(more.back).map_err(Failure::other)?, open: more.open };
        }
        Ok(all)
    }

    /// Open sessions with web sites.
    async fn sessions(&self) -> Result<Vec<Session>, Failure> {
        let sessions = self.wallet.coupon_sessions().await?.into_iter().map(|info| Session {
            site: info.site,
            seller: info.seller,
            held: info.held,
            paid: info.paid,
            requests: info.requests,
            receipt: info.receipt.map(|(session, index)| reference(session, index)),
            until: moment(info.not_after),
        });
        Ok(sessions.collect())
    }

    async fn standing(&self) -> Result<Standing, Failure> {
        let bank = self.wallet.connect().await;
        let statement = match &bank {
            Ok(bank) => {
                self.wallet.coupon_settle(bank).await?;
                Some(self.wallet.statement(bank, None, 1).await?)
            }
            Err(_) => None,
        };
        let balances = statement.as_ref().map(|statement| &statement.balances);
        let mut in_sessions = self.wallet.settings().currency().zero();
        for session in self.sessions().await? {
            let left = session.held.checked_sub(session.paid).map_err(Failure::other)?;
            in_sessions = in_sessions.checked_add(left).map_err(Failure::other)?;
        }
        Ok(Standing {
            in_sessions,
            peer: self.wallet.me(),
            bank: self.wallet.settings().bank.endpoint.clone(),
            balance: balances.map(|balances| balances.balance),
            held: balances.map(|balances| balances.held),
            deposit: balances.map(|balances| balances.deposit),
            ready: self.wallet.ready().await?,
            unredeemed: self.wallet.earnings().await?.unclaimed,
            spent: self.wallet.budget(None).await?.spent,
            suspended: statement.is_some_and(|statement| statement.suspended),
            restored: self.wallet.is_restored(),
        })
    }

    /// What came of it, and how much is ready to be spent now.
    async fn moved(&self, bank: &BankClient, amount: Amount, progress: BankProgress) -> Result<Value, Failure> {
        let (waiting, waits_until, balances) = match progress {
            BankProgress::Done(balances) => (None, None, Some(balances)),
            BankProgress::Waiting { number, until } => (Some(number), Some(moment(until)), None),
        };
        take::be_ready(&self.wallet, bank).await;
        // Money that is there is made ready to be spent without the bank.
        let upkeep = self.wallet.upkeep(bank).await?;
        for trouble in upkeep.troubles {
            tracing::info!(%trouble, "upkeep goes on next time");
        }
        value(&Moved {
            amount,
            waiting,
            waits_until,
            balance: balances.as_ref().map(|balances| balances.balance),
            deposit: balances.map(|balances| balances.deposit),
            ready: self.wallet.ready().await?,
        })
    }

    async fn earnings(&self) -> Result<Earnings, Failure> {
        let (earnings, currency) = (self.wallet.earnings().await?, self.wallet.settings().currency());
        Ok(Earnings {
            unredeemed: earnings.unclaimed,
            visits: earnings.visits,
            redeem_before: earnings.earliest_deadline.map(moment),
            lapsed: earnings.lapsed,
            uncleared: self.uncleared()?,
            by_gateway: currency.micros(self.by_gateway()?.map_or(0, |at| at.paid_micros)).map_err(Failure::other)?,
        })
    }

    /// What the gateway of this home has taken; none if there never was one.
    fn by_gateway(&self) -> Result<Option<Revenue>, Failure> {
        let home = self.settings.gateway_home();
        if !farthing_gateway::records_in(&home).exists() {
            return Ok(None);
        }
        Ok(Some(Report::open(&home)?.revenue()?))
    }

    /// What the gateway of this home has taken and not cleared.
    fn uncleared(&self) -> Result<Amount, Failure> {
        let micros = self.by_gateway()?.map_or(0, |at| at.paid_micros.saturating_sub(at.cleared_micros));
        self.wallet.settings().currency().micros(micros).map_err(Failure::other)
    }

    /// The line of the history about the gateway of this home.
    fn gateway_line(&self) -> Result<Option<Line>, Failure> {
        let Some(at) = self.by_gateway()? else { return Ok(None) };
        let amount = |micros| self.wallet.settings().currency().micros(micros).map_err(Failure::other);
        let sessions = count(at.open.saturating_add(at.over), "session");
        let detail = format!("by the gateway, in {sessions}; {} of it cleared at the bank", amount(at.cleared_micros)?);
        let (paid, what) = (amount(at.paid_micros)?, "sold so far".to_owned());
        Ok(Some(Line { at: "now".to_owned(), what, amount: Some(paid), with: None, detail }))
    }

    /// Redeems everything.
    pub(crate) async fn redeem(&self) -> Result<Redeemed, Failure> {
        let bank = self.wallet.connect().await?;
        let report = self.wallet.redeem(&bank).await?;
        Ok(Redeemed {
            paid: report.paid,
            visits: report.visits,
            requests: report.requests,
            contested: report.contested,
            refused: report.refused.iter().map(ToString::to_string).collect(),
            rest: report.rest,
            uncleared: self.uncleared()?,
        })
    }

    async fn exposure(&self) -> Result<Exposure, Failure> {
        let mut total = self.wallet.settings().currency().zero();
        let mut risks = Vec::new();
        for risk in self.wallet.exposure().await? {
            total = total.checked_add(risk.at_most).map_err(Failure::other)?;
            let how = match risk.risk {
                WalletRisk::Visit => "a purchase in progress",
                WalletRisk::Abandoned => "a purchase that broke off",
                WalletRisk::Unredeemed => "earned, not redeemed",
                WalletRisk::Session => "paid in a session, no receipt",
                WalletRisk::Draft => "a draft, not deposited",
                WalletRisk::Unacknowledged => "paid, no receipt",
            };
            risks.push(Risk { to: risk.to, at_most: risk.at_most, until: moment(risk.until), how: how.to_owned() });
        }
        Ok(Exposure { risks, total, sessions: self.sessions().await? })
    }

    async fn history(&self, limit: usize) -> Result<History, Failure> {
        let (mut lines, mut after) = (std::collections::VecDeque::new(), None);
        loop {
            let page = self.wallet.history(after).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            lines.extend(page.into_iter().map(|(_, happened)| line(happened)));
            let surplus = lines.len().saturating_sub(limit);
            lines.drain(..surplus);
        }
        // What goes on has no line of its own yet.
        lines.extend(self.sessions().await?.into_iter().map(open_line));
        lines.extend(self.gateway_line()?);
        let surplus = lines.len().saturating_sub(limit);
        lines.drain(..surplus);
        Ok(History { lines: lines.into() })
    }

    /// What was paid in sessions with web sites, those that ended and those that go on.
    async fn session_receipts(&self) -> Result<Vec<SessionReceipt>, Failure> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.wallet.history(after).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            all.extend(page.into_iter().filter_map(|(_, happened)| match happened.what {
                What::SessionEnded { payee, site, paid, requests, receipt, .. } => Some(SessionReceipt {
                    site,
                    seller: payee,
                    paid,
                    requests,
                    receipt: receipt.map(|(session, index)| reference(session, index)),
                    ended: Some(moment(happened.at)),
                }),
                _ => None,
            }));
        }
        all.extend(self.sessions().await?.into_iter().map(|open| {
            let Session { site, seller, paid, requests, receipt, .. } = open;
            SessionReceipt { site, seller, paid, requests, receipt, ended: None }
        }));
        Ok(all)
    }

    async fn receipts(&self) -> Result<Receipts, Failure> {
        let signed = self.wallet.receipts().await?;
        let receipts = signed.iter().map(|signed| {
            let receipt = signed.peek().or_fail("a receipt in the wallet is damaged")?;
            Ok(ReceiptLine {
                payee: signed.claimed_signer(),
                order: receipt.order,
                amount: receipt.amount,
                at: moment(receipt.time),
                signed: hex::encode(wire::encode(signed)),
            })
        });
        let receipts = receipts.collect::<Result<_, Failure>>()?;
        Ok(Receipts { network: self.wallet.network(), receipts, sessions: self.session_receipts().await? })
    }
}

/// Joins the network. A buyer reaches out; a seller is reached at the addresses of the settings.
pub(super) fn start_node(wallet: &Wallet, settings: &Settings, sells: bool) -> Result<Arc<Node>, Failure> {
    let config = NodeConfig {
        secret: wallet.identity(),
        listen: if sells { settings.listen.clone() } else { Vec::new() },
        bootstrap: Vec::new(),
        mdns: settings.local_discovery,
        limits: PeerLimits::default(),
    };
    let node =
        Node::start(config).map_err(|error| Failure::other(error).next("choose another address with --listen"))?;
    Ok(Arc::new(node))
}

fn value(answer: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(Failure::other)
}

fn line(happened: Happened) -> Line {
    let plain = |what: &str, amount, with, detail: String| (what.to_owned(), amount, with, detail);
    let (what, amount, with, detail) = match happened.what {
        What::Opened { chain, value, not_after } => {
            plain("chain opened", Some(value), None, format!("{}, until {}", chain.short(), moment(not_after)))
        }
        What::Bought { payee, description, paid, receipt, .. } => {
            let proof = if receipt.is_some() { "" } else { " (no receipt)" };
            plain("bought", Some(paid), Some(payee), format!("{description}{proof}"))
        }
        What::SessionOpened { site, held, not_after } => {
            plain("session opened", Some(held), None, format!("at {site}, until {}", moment(not_after)))
        }
        What::SessionEnded { payee, site, held, paid, requests, receipt, .. } => {
            let receipt = receipt.map(|(session, index)| reference(session, index));
            let detail = format!("{}; of {held} set aside", paid_for(&site, requests, receipt.as_deref()));
            plain("paid", Some(paid), Some(payee), detail)
        }
        What::Sold { payer, description, earned, .. } => plain("sold", Some(earned), Some(payer), description),
        What::Redeemed { amount, visits } => {
            plain("redeemed", Some(amount), None, crate::show::count(visits.into(), "visit"))
        }
        What::ClaimLost { chain, amount, why } => {
            plain("not paid", Some(amount), None, format!("{}: {why}", chain.short()))
        }
        What::Refunded { chain, about } => plain("came back", Some(about), None, chain.short()),
        What::Released { payee, paid, .. } => plain("freed", Some(paid), Some(payee), "by the bank".to_owned()),
        What::Paid { scheme, payee, description, amount, alias, receipt, .. } => {
            let under = alias.map_or_else(String::new, |n| format!(", under pseudonym {n}"));
            let proof = if receipt.is_some() { "" } else { " (no receipt)" };
            plain("paid", Some(amount), Some(payee), format!("by {scheme}{under}: {description}{proof}"))
        }
        What::Received { scheme, payer, description, amount, matched, .. } => {
            let unasked = if matched { "" } else { " (for no open request)" };
            plain("received", Some(amount), Some(payer), format!("by {scheme}: {description}{unasked}"))
        }
        What::Deposited { amount, drafts, owed } => {
            let owed = if owed.is_zero() { String::new() } else { format!(", {owed} still owed") };
            plain("deposited", Some(amount), None, format!("{}{owed}", crate::show::count(drafts.into(), "draft")))
        }
        What::DraftLost { payer, amount, why, .. } => {
            plain("draft lost", Some(amount), Some(payer), why.detail.into_owned())
        }
        What::DraftStopped { payee, amount, .. } => {
            plain("draft stopped", Some(amount), Some(payee), "the money is set aside".to_owned())
        }
        What::CameBack { payee, amount, .. } => plain("came back", Some(amount), Some(payee), String::new()),
        What::Repaired { lines } => plain("books repaired", None, None, crate::show::count(lines.into(), "line")),
        What::Defended(case) => plain("case answered", None, None, format!("number {case}")),
        What::Restored { epoch } => plain("restored", None, None, format!("for the {epoch}. time")),
        What::Refused { why, .. } => plain("refused", None, None, why.to_string()),
    };
    Line { at: moment(happened.at), what, amount, with, detail }
}

/// What was paid in a session that goes on.
fn open_line(session: Session) -> Line {
    let paid_for = paid_for(&session.site, session.requests, session.receipt.as_deref());
    Line {
        at: "now".to_owned(),
        what: "paid so far".to_owned(),
        amount: Some(session.paid),
        with: Some(session.seller),
        detail: format!("{paid_for}; of {} set aside until {}", session.held, session.until),
    }
}

fn paid_for(site: &str, requests: u32, receipt: Option<&str>) -> String {
    let receipt = receipt.map_or_else(|| "no receipt".to_owned(), |receipt| format!("last receipt {receipt}"));
    format!("{site}, {}, {receipt}", crate::show::count(requests.into(), "request"))
}
