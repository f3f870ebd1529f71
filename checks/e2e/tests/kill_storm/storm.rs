//! The weather: who runs, who kills, and how it calms down.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use farthing_e2e::{Done, Home, PATIENCE, Process, Ware, amount, exit, wait_for};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// How many kills, unless the environment says otherwise.
const KILLS: u64 = 200;
/// The shortest and the longest time between two kills, in milliseconds: the storm's own clock.
const PAUSE_MILLIS: (u64, u64) = (40, 240);
/// The storm gives up if it cannot kill so many in this time.
const STORM_MAX: Duration = Duration::from_secs(180);
/// How often a keeper looks whether its process still runs.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What a funding in the storm brings, as typed and in micros.
const FUND: (&str, u64) = ("0.01", 10_000);
/// One in so many purchases is followed by a funding.
const FUND_ONE_IN: u64 = 4;

/// A process that may be killed at any moment, or none.
type Slot = Arc<Mutex<Option<Process>>>;

fn locked<T>(slot: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A storm to be.
#[derive(Debug)]
pub(crate) struct Storm {
    /// Decides the moments and the victims.
    pub(crate) seed: u64,
    kills: u64,
}

/// What a storm leaves behind.
#[derive(Debug)]
pub(crate) struct After {
    /// Those who buy, with what they have bought and what they have begun.
    pub(crate) buyers: Vec<Buyer>,
    /// The shops, open.
    pub(crate) shops: Vec<Process>,
    /// How many payments can have been under way when somebody was killed, all together.
    pub(crate) in_flight_max: u64,
    /// What it was like.
    pub(crate) told: String,
    /// The bank, open.
    _bank: Process,
}

impl Storm {
    /// A new one each time, unless the environment names it.
    pub(crate) fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let storm = Self {
            seed: number("FARTHING_STORM_SEED").unwrap_or_else(now),
            kills: number("FARTHING_STORM_KILLS").unwrap_or(KILLS),
        };
        // Shown by the test runner only if the test fails.
        eprintln!("FARTHING_STORM_SEED={} chooses this storm", storm.seed);
        storm
    }

    /// Lets everybody go about their business, and kills.
    pub(crate) fn rage(&self, bank: Keeper, shops: Vec<Keeper>, homes: &[Home], buyers: Vec<Buyer>) -> After {
        let (sellers, buyers_in_all) = (shops.len() as u64, buyers.len() as u64);
        let over = Arc::new(AtomicBool::new(false));
        let redeeming = Slot::default();
        let mut victims: Vec<(Slot, u64)> = vec![(Arc::clone(&bank.slot), 0), (Arc::clone(&redeeming), 0)];
        // Who dies with a piece under way: a shop with one for each buyer, a buyer with one from each.
        victims.extend(shops.iter().map(|shop| (Arc::clone(&shop.slot), buyers_in_all)));
        victims.extend(buyers.iter().map(|buyer| (Arc::clone(&buyer.slot), sellers)));
        let bank = bank.keep(Arc::clone(&over));
        let shops: Vec<_> = shops.into_iter().map(|shop| shop.keep(Arc::clone(&over))).collect();
        let buyers: Vec<_> = buyers.into_iter().map(|buyer| buyer.go(Arc::clone(&over))).collect();
        let redeemer = {
            let (slot, homes, over) = (Arc::clone(&redeeming), homes.to_vec(), Arc::clone(&over));
            thread::spawn(move || redeem_all_the_time(&slot, &homes, &over))
        };

        let mut dice = ChaCha8Rng::seed_from_u64(self.seed);
        let (began, mut killed, mut in_flight_max) = (Instant::now(), vec![0; victims.len()], 0);
        let all_run = || !bank.is_finished() && !shops.iter().any(JoinHandle::is_finished);
        while killed.iter().sum::<u64>() < self.kills && all_run() && !buyers.iter().any(JoinHandle::is_finished) {
            assert!(began.elapsed() < STORM_MAX, "too few could be killed: {killed:?}");
            let (least, most) = PAUSE_MILLIS;
            thread::sleep(Duration::from_millis(least + dice.next_u64() % (most - least)));
            let at = usize::try_from(dice.next_u64() % victims.len() as u64).unwrap_or(0);
            let (slot, in_flight) = &victims[at];
            if locked(slot).as_mut().is_some_and(Process::kill) {
                killed[at] += 1;
                in_flight_max += in_flight;
            }
        }
        over.store(true, Ordering::SeqCst);
        let seconds = began.elapsed().as_secs();
        // What any of them found wrong is told by the thread it ran on.
        let redeemed = redeemer.join().expect("the redeemer");
        let buyers: Vec<Buyer> = buyers.into_iter().map(|buyer| buyer.join().expect("a buyer")).collect();
        let shops = shops.into_iter().map(|shop| shop.join().expect("a shop")).collect();
        let bank = bank.join().expect("the bank");
        let bought: usize = buyers.iter().map(|buyer| buyer.bought.len()).sum();
        let told = format!(
            "killed in {seconds} s: bank {}, redemptions {}, sellers {:?}, buyers {:?}; meanwhile {bought} files \
             were bought and {redeemed} redemptions answered",
            killed[0],
            killed[1],
            &killed[2..2 + usize::try_from(sellers).unwrap_or(0)],
            &killed[2 + usize::try_from(sellers).unwrap_or(0)..],
        );
        After { buyers, shops, in_flight_max, told, _bank: bank }
    }
}

/// Keeps a server open: whenever it was killed it is started again.
#[derive(Debug)]
pub(crate) struct Keeper {
    home: Home,
    args: Vec<String>,
    slot: Slot,
}

impl Keeper {
    /// Of a server that runs.
    pub(crate) fn of(home: &Home, args: &[String], running: Process) -> Self {
        Self { home: home.clone(), args: args.to_vec(), slot: Arc::new(Mutex::new(Some(running))) }
    }

    /// Keeps it open until the storm is over, and hands it out, ready.
    fn keep(self, over: Arc<AtomicBool>) -> JoinHandle<Process> {
        thread::spawn(move || {
            let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
            loop {
                let done = {
                    let mut slot = locked(&self.slot);
                    match slot.as_mut().and_then(Process::ended) {
                        None if over.load(Ordering::SeqCst) => {
                            let mut running = slot.take().expect("a server");
                            drop(slot);
                            match running.ready() {
                                Ok(_) => return running,
                                Err(done) => done,
                            }
                        }
                        None => {
                            drop(slot);
                            thread::sleep(LOOK_EVERY);
                            continue;
                        }
                        Some(done) => done,
                    }
                };
                // The wallet by a redemption beside it, or the port by somebody who got it by chance.
                let waits = done.code.is_some() && done.stderr.contains("in use");
                assert!(was_killed(&done) || waits, "{done}");
                *locked(&self.slot) = Some(self.home.start_server(&args));
            }
        })
    }
}

/// Somebody who buys one file after the other.
#[derive(Debug)]
pub(crate) struct Buyer {
    /// Its home.
    pub(crate) home: Home,
    /// What it has bought, each into a folder of its own.
    pub(crate) bought: Vec<(Ware, PathBuf)>,
    /// What was put into its account for certain in the storm, in micros.
    pub(crate) fund_acknowledged: u64,
    /// What may have been put into its account at the most.
    pub(crate) fund_attempted: u64,
    /// What it is buying.
    buying: Option<(String, Ware, PathBuf)>,
    wares: Vec<(String, Ware)>,
    dice: ChaCha8Rng,
    slot: Slot,
}

impl Buyer {
    /// Buys these, again and again.
    pub(crate) fn new(home: Home, wares: Vec<(String, Ware)>, seed: u64) -> Self {
        Self {
            home,
            bought: Vec::new(),
            fund_acknowledged: 0,
            fund_attempted: 0,
            buying: None,
            wares,
            dice: ChaCha8Rng::seed_from_u64(seed),
            slot: Slot::default(),
        }
    }

    fn go(mut self, over: Arc<AtomicBool>) -> JoinHandle<Self> {
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                self.buy_once();
                if self.buying.is_none() && self.dice.next_u64().is_multiple_of(FUND_ONE_IN) {
                    self.fund();
                }
            }
            self
        })
    }

    /// Runs `farthing buy` once, for what is being bought or for something new.
    fn buy_once(&mut self) {
        let (content, ware, folder) = self.buying.take().unwrap_or_else(|| {
            let which = usize::try_from(self.dice.next_u64() % self.wares.len() as u64).unwrap_or(0);
            let (content, ware) = self.wares[which].clone();
            (content, ware, self.home.path().join(format!("bought-{}", self.bought.len())))
        });
        let done = run_in(&self.slot, &self.home, &["buy", &content, "--out", folder.to_str().expect("a path")]);
        assert_is_allowed(&done);
        if ware.found_in(&folder).is_some() {
            self.bought.push((ware, folder));
        } else {
            assert!(!done.is_good(), "a purchase that succeeded left no file: {done}");
            self.buying = Some((content, ware, folder));
        }
    }

    fn fund(&mut self) {
        self.fund_attempted += FUND.1;
        let done = run_in(&self.slot, &self.home, &["wallet", "fund", FUND.0]);
        assert_is_allowed(&done);
        if done.is_good() {
            self.fund_acknowledged += FUND.1;
        }
    }
}

/// Redeems for one seller after the other; says how many redemptions were answered.
fn redeem_all_the_time(slot: &Slot, homes: &[Home], over: &AtomicBool) -> u64 {
    let mut answered = 0;
    for home in homes.iter().cycle() {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let done = run_in(slot, home, &["redeem"]);
        let in_use = done.code == Some(exit::DAMAGED) && done.stderr.contains("in use");
        if !in_use {
            assert_is_allowed(&done);
        }
        if done.is_good() {
            assert_eq!((&done.json["contested"], &done.json["refused"]), (&0.into(), &serde_json::json!([])), "{done}");
            answered += 1;
        }
    }
    answered
}

/// Finishes what was begun and redeems what was earned, until nothing is left.
pub(crate) fn settle(mut buyers: Vec<Buyer>, sellers: &[Home]) -> Vec<Buyer> {
    for buyer in &mut buyers {
        wait_for("the end of a purchase", || {
            if buyer.buying.is_some() {
                buyer.buy_once();
            }
            buyer.buying.is_none().then_some(())
        });
        // Requests to the bank that were left unanswered are sent again.
        buyer.home.does(&["wallet", "reconcile"]);
    }
    for home in sellers {
        wait_for("everything being redeemed", || {
            let redeemed = home.get(&["redeem"]);
            assert_eq!(redeemed["refused"], serde_json::json!([]), "{redeemed:#}");
            (amount(&redeemed["rest"]) == 0).then_some(())
        });
    }
    buyers
}

/// Runs a command that may be killed meanwhile.
fn run_in(slot: &Slot, home: &Home, args: &[&str]) -> Done {
    *locked(slot) = Some(home.start(args));
    let began = Instant::now();
    loop {
        let done = locked(slot).as_mut().and_then(Process::ended);
        if let Some(done) = done {
            locked(slot).take();
            return done;
        }
        assert!(began.elapsed() < PATIENCE, "`farthing {}` hangs", args.join(" "));
        thread::sleep(LOOK_EVERY);
    }
}

fn was_killed(done: &Done) -> bool {
    done.signal == Some(9)
}

/// In a storm commands may fail, but not by a panic and not for damaged files.
fn assert_is_allowed(done: &Done) {
    let allowed = [exit::DONE, exit::OTHER, exit::REFUSED, exit::UNKNOWN, exit::UNREACHABLE, exit::FUNDS].map(Some);
    assert!(was_killed(done) || allowed.contains(&done.code), "{done}");
    assert!(!done.stderr.contains("panicked"), "{done}");
}
