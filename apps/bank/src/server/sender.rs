//! What the bank asks other banks: cheques to be collected, and each day's statement.
//!
//! What is to be sent is committed before it is sent, and again and again until it is answered, so
//! that this may end anywhere and any time. Each peer bank has a lane of its own: one that is down or
//! slow keeps nobody else waiting.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farthing_core::id::PeerId;
use farthing_core::refusal::Refusal;
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_core::wire;
use farthing_draft::interbank::Outgoing;
use farthing_draft::interbank::messages::{Answer, PageRequest};
use farthing_driver::{Clock, DriverHandle, NoReply};
use farthing_store::Overlay;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::SharedClock;
use crate::chart::Chart;
use crate::client::{AskError, BankAddress, BankClient};
use crate::role::{BankRole, DAY_MARGIN, PeerRow, peers};

/// How often it is looked for something to send.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// The most cheques sent in one round.
const CHEQUES_PER_ROUND: usize = 64;
/// The most that waits in the lane of one peer bank; what finds no room comes again by itself.
const LANE_MAX: usize = 256;
/// How long one question to a peer bank may take, repeats included.
const ASK_WITHIN: Duration = Duration::from_secs(30);
/// How long after a try a day's statement is asked for again.
const STATEMENT_AGAIN: Span = Span::from_secs(600);
/// The most pages of one day that are asked for in one go.
const PAGES_PER_DAY_MAX: usize = 1_024;

/// Sends what is due to peer banks.
pub(super) struct Sender {
    role: Arc<BankRole>,
    chart: Chart,
    driver: DriverHandle,
    /// The bank's name among banks.
    key: Arc<SecretKey>,
    clock: SharedClock,
    lanes: Mutex<HashMap<PeerId, Lane>>,
    /// Told whenever a lane has come to its end.
    ended: Notify,
}

/// What is on its way to one peer bank.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Job>,
    running: bool,
    /// The bank as it described itself, and the address it was found at.
    known: Option<(String, BankClient)>,
    /// When its statement was last asked for.
    asked_day: Option<Time>,
}

enum Job {
    Cheque(Outgoing),
    Day(u64),
}

/// The peer did not answer; what waits for it comes again by itself.
struct Silent;

impl Sender {
    pub(super) fn new(
        role: Arc<BankRole>,
        chart: Chart,
        driver: DriverHandle,
        key: Arc<SecretKey>,
        clock: SharedClock,
    ) -> Self {
        Self { role, chart, driver, key, clock, lanes: Mutex::default(), ended: Notify::new() }
    }

    /// Sends until it is told to stop. What is under way then is broken off: it is asked again.
    pub(super) async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let mut rounds = tokio::time::interval(ROUND_EVERY);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut lanes = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = rounds.tick() => {}
            }
            while lanes.try_join_next().is_some() {}
            if let Err(why) = self.round(&mut lanes).await {
                tracing::debug!(%why, "nothing was sent to other banks");
            }
        }
    }

    /// Sends what is due now and waits until every lane has come to its end.
    pub(super) async fn exchange(self: &Arc<Self>) -> Result<(), NoReply> {
        let mut lanes = JoinSet::new();
        self.round(&mut lanes).await?;
        while lanes.join_next().await.is_some() {}
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if !self.lanes().values().any(|lane| lane.running) {
                return Ok(());
            }
            ended.await;
        }
    }

    /// Takes what is due and has the lanes it belongs to work on it.
    async fn round(self: &Arc<Self>, working: &mut JoinSet<()>) -> Result<(), NoReply> {
        let all = self.driver.read(|books| peers(&Overlay::new(books))).await?;
        let all: HashMap<PeerId, PeerRow> = all.map_err(halted)?.into_iter().collect();
        if all.is_empty() {
            return Ok(());
        }
        let role = Arc::clone(&self.role);
        let due = self.driver.transact(move |cx| role.cheques_due(cx, CHEQUES_PER_ROUND)).await?;
        let now = self.clock.now();
        let mut lanes = self.lanes();
        lanes.retain(|bank, lane| lane.running || all.contains_key(bank));
        for cheque in due {
            let lane = lanes.entry(cheque.to).or_default();
            if lane.waiting.len() < LANE_MAX {
                lane.waiting.push_back(Job::Cheque(cheque));
            }
        }
        for (bank, row) in &all {
            let lane = lanes.entry(*bank).or_default();
            let again = lane.asked_day.is_none_or(|asked| now >= asked.after(STATEMENT_AGAIN));
            if let Some(day) = row.next_day(now.before(DAY_MARGIN)).filter(|_| again) {
                lane.asked_day = Some(now);
                lane.waiting.push_back(Job::Day(day));
            }
        }
        for (bank, lane) in lanes.iter_mut().filter(|(_, lane)| !lane.running && !lane.waiting.is_empty()) {
            let Some(row) = all.get(bank) else {
                lane.waiting.clear();
                continue;
            };
            lane.running = true;
            working.spawn(
                Arc::clone(self).work(Running { sender: Arc::clone(self), bank: *bank }, row.url.as_str().to_owned()),
            );
        }
        Ok(())
    }

    /// One lane, until nothing waits in it or the peer falls silent.
    async fn work(self: Arc<Self>, running: Running, url: String) {
        let bank = running.bank;
        while let Some(job) = self.next_job(bank) {
            if let Err(Silent) = self.do_job(bank, &url, job).await {
                metrics::counter!("farthing_bank_peer_silences_total").increment(1);
                tracing::debug!(bank = %bank.short(), "a peer bank does not answer");
                let mut lanes = self.lanes();
                let lane = lanes.entry(bank).or_default();
                lane.known = None;
                lane.waiting.clear();
            }
        }
    }

    fn next_job(&self, bank: PeerId) -> Option<Job> {
        self.lanes().get_mut(&bank)?.waiting.pop_front()
    }

    async fn do_job(&self, bank: PeerId, url: &str, job: Job) -> Result<(), Silent> {
        let client = within(self.client(bank, url)).await?;
        match job {
            Job::Cheque(cheque) => self.send_cheque(&client, cheque).await,
            Job::Day(day) => self.ask_day(&client, day).await,
        }
    }

    async fn client(&self, bank: PeerId, url: &str) -> Result<BankClient, Silent> {
        let known = self.lanes().get(&bank).and_then(|lane| lane.known.clone());
        if let Some((_, client)) = known.filter(|(at, _)| at == url) {
            return Ok(client);
        }
        let address: BankAddress = url.parse().map_err(|_| Silent)?;
        // Nobody else may answer in its place.
        let client = BankClient::connect(address.pinned(bank)).await.map_err(|why| {
            tracing::info!(bank = %bank.short(), %why, "a peer bank cannot be reached");
            Silent
        })?;
        self.lanes().entry(bank).or_default().known = Some((url.to_owned(), client.clone()));
        Ok(client)
    }

    async fn send_cheque(&self, client: &BankClient, cheque: Outgoing) -> Result<(), Silent> {
        let Outgoing { to, id, kind, message, matter } = cheque;
        let answer = match within(heard(client.ask(&self.key, id, kind, message))).await? {
            Ok(reply) => match wire::decode::<Answer>(&reply) {
                Ok(answer) => Ok(answer),
                Err(why) => Err(Refusal::from(why)),
            },
            Err(refusal) => Err(refusal),
        };
        let role = Arc::clone(&self.role);
        let noted = self.driver.transact(move |cx| role.on_peer_answer(cx, to, matter, answer)).await;
        if let Err(why) = noted {
            tracing::warn!(bank = %to.short(), %why, "what a peer bank answered was not taken");
        }
        Ok(())
    }

    /// Asks for a day's statement, page by page, and compares it.
    async fn ask_day(&self, client: &BankClient, day: u64) -> Result<(), Silent> {
        let (bank, mut after) = (client.bank(), None);
        for _ in 0..PAGES_PER_DAY_MAX {
            let id = BankClient::new_id(self.clock.now()).map_err(|_| Silent)?;
            let ask = PageRequest { day, currency: self.chart.currency, after };
            let page = match within(heard(client.statement_page(&self.key, id, &ask))).await? {
                Ok(page) => page,
                Err(why) => {
                    tracing::info!(bank = %bank.short(), %why, day, "a peer bank does not state a day yet");
                    return Ok(());
                }
            };
            let role = Arc::clone(&self.role);
            let compared = self.driver.transact(move |cx| role.on_peer_page(cx, bank, day, page)).await;
            match compared {
                Ok((next, found)) => {
                    for discrepancy in &found {
                        tracing::warn!(bank = %bank.short(), day, ?discrepancy, "a peer bank's statement differs");
                    }
                    if next.is_none() {
                        let mut lanes = self.lanes();
                        // The day before it may be waited for as well.
                        lanes.entry(bank).or_default().asked_day = None;
                        return Ok(());
                    }
                    after = next;
                }
                Err(why) => {
                    tracing::warn!(bank = %bank.short(), day, %why, "a peer bank's statement was not taken");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<PeerId, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the lane free again, however its work ends.
struct Running {
    sender: Arc<Sender>,
    bank: PeerId,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(lane) = self.sender.lanes().get_mut(&self.bank) {
            lane.running = false;
        }
        self.sender.ended.notify_waiters();
    }
}

async fn within<T>(work: impl Future<Output = Result<T, Silent>>) -> Result<T, Silent> {
    tokio::time::timeout(ASK_WITHIN, work).await.unwrap_or(Err(Silent))
}

/// An answer or a signed refusal; everything else is nobody's word.
async fn heard<T>(asked: impl Future<Output = Result<T, AskError>>) -> Result<Result<T, Refusal>, Silent> {
    match asked.await {
        Ok(said) => Ok(Ok(said)),
        Err(AskError::Refused { refusal, authenticated: true }) => Ok(Err(refusal)),
        Err(_) => Err(Silent),
    }
}

fn halted(halt: farthing_role::Halt) -> NoReply {
    match halt {
        farthing_role::Halt::Refused(why) => NoReply::Refused(why),
        farthing_role::Halt::Store(fault) => {
            tracing::error!(%fault, "peer banks could not be read");
            NoReply::Down
        }
    }
}
