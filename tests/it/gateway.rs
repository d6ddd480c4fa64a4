//! A real S3 server over a folder: versitygw, in whose buckets the tables of a lab lie as files. What a test does to
//! those files, it does to the objects.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub const KEY: &str = "highwater-tests";
pub const SECRET: &str = "of-highwaters-tests";

/// The server of this process.
pub struct Gateway {
    /// Its buckets are folders in here.
    root: TempDir,
    pub port: u16,
    /// It ends when its stdin does, so not later than this process.
    _child: Child,
}

static GATEWAY: LazyLock<Gateway> = LazyLock::new(Gateway::start);

/// Whether all labs lie on S3: the suites that are run a second time are told so.
pub fn labs_lie_there() -> bool {
    std::env::var("HIGHWATER_LABS").is_ok_and(|labs| labs == "s3")
}

/// The server, started at the first call.
pub fn gateway() -> &'static Gateway {
    &GATEWAY
}

/// The program, as `scripts/s3` builds it.
fn program() -> PathBuf {
    let of_script = || {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
        cache.join("highwater/bin/versitygw")
    };
    let program = std::env::var_os("HIGHWATER_S3_GATEWAY").map_or_else(of_script, PathBuf::from);
    assert!(program.exists(), "{} is missing: `scripts/s3 build` makes it", program.display());
    program
}

impl Gateway {
    fn start() -> Self {
        let root = tempfile::Builder::new().prefix("gateway").tempdir().unwrap();
        // Free now; whoever takes it in between makes the server fail, which is told.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = program();
        let script = format!(
            "'{}' --port 127.0.0.1:{port} --keep-alive --quiet posix '{}' & read -r _; kill $!",
            program.display(),
            root.path().display()
        );
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .env("ROOT_ACCESS_KEY", KEY)
            .env("ROOT_SECRET_KEY", SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "versitygw does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        // Else it would wait for somebody to read what it says.
        let said = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || said.lines().for_each(drop));
        Self { root, port, _child: child }
    }

    /// A new bucket, as a folder that goes when it is dropped.
    pub fn bucket(&self) -> TempDir {
        let name = format!("lab-{}", uuid::Uuid::new_v4().simple());
        tempfile::Builder::new().prefix(&name).rand_bytes(0).tempdir_in(self.root.path()).unwrap()
    }

    /// The URL of a folder in a bucket; `None` where it lies elsewhere.
    pub fn url(&self, folder: &Path) -> Option<String> {
        folder.strip_prefix(self.root.path()).ok().map(|path| format!("s3://{}", path.display()))
    }

    /// Takes an object away, by the path of a request; none is as good.
    pub fn remove(&self, path: &str) {
        let _ = std::fs::remove_file(self.root.path().join(path.trim_start_matches('/')));
    }

    /// What the environment of a process says that uses it.
    pub fn environment(&self) -> Vec<(String, String)> {
        environment(self.port)
    }
}

/// The same, on another port of this machine.
pub fn environment(port: u16) -> Vec<(String, String)> {
    let pairs = [
        ("HIGHWATER__STORAGE__AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("HIGHWATER__STORAGE__ALLOW_HTTP", "true".to_owned()),
        ("HIGHWATER__STORAGE__AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("HIGHWATER__STORAGE__AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        // What a person's own tools are set to must not reach the tests.
        ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}
