//! nginx as a bare reverse proxy with one worker, if there is one on the machine.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    process: Child,
    _home: tempfile::TempDir,
}

impl Nginx {
    /// Before that origin.
    pub(crate) fn start(origin: SocketAddr) -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at = home.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = temporary.map(|kind| format!("{kind}_temp_path {at}/{kind};")).concat();
        let settings = format!(
            "daemon off; master_process off; pid {at}/pid; error_log /dev/null;
             events {{ worker_connections 1024; }}
             http {{
                 access_log off; keepalive_requests 1000000; {temporary}
                 upstream origin {{ server {origin}; keepalive 128; keepalive_requests 1000000; }}
                 server {{
                     listen {address};
                     location / {{
                         proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\";
                     }}
                 }}
             }}"
        );
        let file = home.path().join("nginx.conf");
        std::fs::write(&file, settings).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(home.path()).arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let process = nginx.spawn().ok()?;
        let started = Self { address, process, _home: home };
        for _ in 0..100 {
            if TcpStream::connect(address).is_ok() {
                return Some(started);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
