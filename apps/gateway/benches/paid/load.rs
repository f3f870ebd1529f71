//! The load generator: one thread, keep-alive connections, requests written beforehand. It looks at
//! an answer's first and last bytes only, since it shares the processors with what it measures.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

/// Connections, each with a session of its own.
pub(crate) const CONNECTIONS: u8 = 64;
/// Requests on each in a round.
pub(crate) const REQUESTS: u32 = 400;
/// Rounds; the median counts.
pub(crate) const ROUNDS: u32 = 5;
/// More than any answer has.
const ANSWER_BYTES_MAX: usize = 4 << 10;
/// How every answer begins and ends.
const BEGIN: &[u8] = b"HTTP/1.1 200";
const END: &[u8] = b"\r\n\r\nhello";

/// For each connection, its requests.
pub(crate) type Work = Vec<Vec<Vec<u8>>>;

pub(crate) fn request(path: &str, header: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{header}\r\n").into_bytes()
}

/// Requests that carry nothing.
pub(crate) fn plain(path: &str) -> Work {
    vec![vec![request(path, ""); REQUESTS as usize]; usize::from(CONNECTIONS)]
}

/// Who is asked, and which threads do the work.
pub(crate) struct Side {
    what: &'static str,
    address: SocketAddr,
    threads: &'static [&'static str],
    tasks: PathBuf,
}

impl Side {
    /// Served by threads of this process with these names.
    pub(crate) fn new(what: &'static str, address: SocketAddr, threads: &'static [&'static str]) -> Self {
        Self { what, address, threads, tasks: "/proc/self/task".into() }
    }

    /// Served by another process.
    pub(crate) fn of_process(self, id: u32) -> Self {
        Self { tasks: format!("/proc/{id}/task").into(), ..self }
    }

    /// What its threads have used so far.
    fn cpu(&self) -> Duration {
        let used = |task: std::io::Result<std::fs::DirEntry>| {
            let task = task.ok()?.path();
            let name = std::fs::read_to_string(task.join("comm")).ok()?;
            let ours = self.threads.is_empty() || self.threads.contains(&name.trim());
            let spent = std::fs::read_to_string(task.join("schedstat")).ok()?;
            let nanos = spent.split(' ').next()?.parse().ok()?;
            ours.then_some(Duration::from_nanos(nanos))
        };
        std::fs::read_dir(&self.tasks).into_iter().flatten().filter_map(used).sum()
    }

    /// Asks all of it: requests in a second, and processor time for each.
    fn run(&self, work: Work) -> (f64, f64) {
        let count = work.iter().map(Vec::len).sum::<usize>() as f64;
        let (address, before) = (self.address, self.cpu());
        let load = std::thread::Builder::new()
            .name("load".into())
            .spawn(move || Builder::new_current_thread().enable_all().build().unwrap().block_on(all(address, work)));
        let took = load.unwrap().join().unwrap();
        (count / took.as_secs_f64(), (self.cpu() - before).as_secs_f64() * 1e6 / count)
    }
}

async fn all(address: SocketAddr, work: Work) -> Duration {
    let mut sockets = Vec::new();
    for requests in work {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        sockets.push((socket, requests));
    }
    let begun = Instant::now();
    let connections = sockets.into_iter().map(|(mut socket, requests)| {
        tokio::spawn(async move {
            let mut answer = vec![0; ANSWER_BYTES_MAX];
            for request in requests {
                exchange(&mut socket, &request, &mut answer).await;
            }
        })
    });
    for connection in connections.collect::<Vec<_>>() {
        connection.await.unwrap();
    }
    begun.elapsed()
}

async fn exchange(socket: &mut TcpStream, request: &[u8], answer: &mut [u8]) {
    socket.write_all(request).await.unwrap();
    let mut have = 0;
    while !answer[..have].ends_with(END) {
        let read = socket.read(&mut answer[have..]).await.unwrap();
        have += read;
        assert!(read > 0 && answer.starts_with(BEGIN), "{}", String::from_utf8_lossy(&answer[..have]));
    }
}

/// Two sides that ran in turn: the median of the rounds' ratios.
pub(crate) struct Ratio {
    rate: f64,
    cpu: f64,
}

impl Ratio {
    pub(crate) fn print(&self, what: &str, goal: f64) {
        let Self { rate, cpu } = self;
        println!("{what}: rate {rate:.2}, CPU {cpu:.2} (medians of {ROUNDS}; goal {goal:.2})");
    }
}

/// Runs two sides in turn after warming both up; ours over the baseline.
pub(crate) fn compare(
    ours: &Side,
    mut our_work: impl FnMut() -> Work,
    base: &Side,
    mut base_work: impl FnMut() -> Work,
) -> Ratio {
    ours.run(our_work());
    base.run(base_work());
    let (mut rates, mut cpus) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // The one that goes first changes, so that a drift of the machine favours neither.
        let ((rate, cpu), (base_rate, base_cpu)) = if round % 2 == 0 {
            let first = ours.run(our_work());
            (first, base.run(base_work()))
        } else {
            let first = base.run(base_work());
            (ours.run(our_work()), first)
        };
        println!(
            "  {} {rate:>7.0}/s {cpu:>5.1} us CPU   {} {base_rate:>7.0}/s {base_cpu:>5.1} us CPU   {:.2}",
            ours.what,
            base.what,
            rate / base_rate
        );
        rates.push(rate / base_rate);
        cpus.push(base_cpu / cpu);
    }
    Ratio { rate: median(rates), cpu: median(cpus) }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
