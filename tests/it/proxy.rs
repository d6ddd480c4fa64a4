//! A proxy between the program and the S3 server, on which requests are counted and go wrong.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

use crate::gateway::gateway;

/// What befalls a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// It is not served; the answer is this status and this code of S3.
    Answered(u16, &'static str),
    /// It is served, and then that is the answer.
    Lost(u16, &'static str),
    /// The connection ends before an answer.
    Reset,
    /// It is served, and the connection ends before the answer.
    LostReset,
    /// Half of the answer's body comes, and no more.
    Half,
    /// Nothing comes, ever.
    Hang,
    /// It is served half a second later.
    Slow,
    /// What it would meet is gone before it comes, so that its condition holds: as by a store that knows none.
    Careless,
}

/// A request that came by.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// From the bucket on, with the query.
    pub path: String,
}

/// Which requests something befalls, what, and how often at most.
pub struct Rule {
    pub method: &'static str,
    /// The path holds this.
    pub part: String,
    pub harm: Harm,
    pub times: usize,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    seen: Vec<Seen>,
}

/// The proxy; it ends with the process.
pub struct Proxy {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        spawn(move || {
            for client in listener.incoming() {
                let (client, state) = (client.unwrap(), Arc::clone(&shared));
                spawn(move || while serve(&client, &state).unwrap_or(false) {});
            }
        });
        Self { port, state }
    }

    /// Harms the next requests of this kind.
    pub fn harm(&self, method: &'static str, part: impl Into<String>, harm: Harm, times: usize) {
        self.state.lock().unwrap().rules.push(Rule { method, part: part.into(), harm, times });
    }

    /// Nothing goes wrong any more. How much of it was still to come.
    pub fn mend(&self) -> usize {
        self.state.lock().unwrap().rules.drain(..).map(|rule| rule.times).sum()
    }

    /// The requests since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }
}

/// Serves one request of a connection; whether another may come.
fn serve(client: &TcpStream, state: &Mutex<State>) -> std::io::Result<bool> {
    let mut reader = BufReader::new(client);
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = head[0].split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let harm = {
        let mut state = state.lock().unwrap();
        state.seen.push(Seen { method: method.clone(), path: path.clone() });
        let rule = state.rules.iter_mut().find(|rule| {
            rule.times > 0 && [method.as_str(), "*"].contains(&rule.method) && path.contains(&rule.part)
        });
        rule.map(|rule| {
            rule.times -= 1;
            rule.harm
        })
    };
    let forward = || {
        let kept = head.iter().filter(|line| !line.to_lowercase().starts_with("connection:"));
        let mut server = TcpStream::connect(("127.0.0.1", gateway().port))?;
        let head: String = kept.cloned().collect();
        server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
        server.write_all(&body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let mut out = client;
    let document = |status: u16, code: &str| {
        let body = if method == "HEAD" {
            String::new()
        } else {
            format!(
                "<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>as the test has it</Message></Error>"
            )
        };
        format!("HTTP/1.1 {status} Told\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    };
    match harm {
        None => out.write_all(&forward()?)?,
        Some(Harm::Careless) => {
            static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
            let _one = ONE_AT_A_TIME.lock().unwrap();
            gateway().remove(&path);
            out.write_all(&forward()?)?;
        }
        Some(Harm::Answered(status, code)) => out.write_all(document(status, code).as_bytes())?,
        Some(Harm::Lost(status, code)) => {
            forward()?;
            out.write_all(document(status, code).as_bytes())?;
        }
        Some(Harm::Reset) => {}
        Some(Harm::LostReset) => drop(forward()?),
        Some(Harm::Half) => {
            let answer = forward()?;
            let start = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
            out.write_all(&answer[..usize::midpoint(start, answer.len())])?;
        }
        Some(Harm::Hang) => sleep(Duration::from_mins(10)),
        Some(Harm::Slow) => {
            sleep(Duration::from_millis(500));
            out.write_all(&forward()?)?;
        }
    }
    // The server closes each connection, and so does this.
    out.shutdown(Shutdown::Both)?;
    Ok(false)
}

/// A server that gives the same answer to everybody, and counts.
pub struct Teller {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Teller {
    /// `body` is its answer, as JSON.
    pub fn start(body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let shared = Arc::clone(&asked);
        spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let mut line = String::new();
                if BufReader::new(&client).read_line(&mut line).is_err() {
                    continue;
                }
                shared.lock().unwrap().push(line.trim().to_owned());
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
                // Whoever hung up is not told.
                let _ = client
                    .write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
            }
        });
        Self { port, asked }
    }

    /// What it was asked.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}
