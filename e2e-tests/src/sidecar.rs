//! The sidecar's commands, run as a user runs them.

use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use acr_fake_cloud::FakeCloud;
use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::client::HttpClient;
use crate::paths;

/// A place to run the sidecar in: a directory of its own, and an environment with nothing in it but what a test puts
/// there.
pub struct Sidecar {
    directory: tempfile::TempDir,
    environment: Vec<(String, String)>,
    endpoints: Vec<String>,
    /// The debug build where none is named.
    binary: Option<PathBuf>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Sidecar {
    /// A place from which this cloud is reached.
    ///
    /// # Errors
    /// When there is no room for a directory.
    pub fn new(cloud: &FakeCloud) -> Result<Self> {
        let mut sidecar = Self::at(&cloud.url())?;
        let regions = cloud.urls();
        let regions = regions.iter().map(|(region, url)| format!("--acr-endpoint={region}={url}"));
        sidecar.endpoints.extend(regions);
        Ok(sidecar)
    }

    /// A place from which a cloud of one region is reached, at this URL.
    ///
    /// # Errors
    /// As [`Sidecar::new`].
    pub fn at(url: &str) -> Result<Self> {
        let endpoints = ["acr", "sts", "metadata"].map(|api| format!("--{api}-endpoint={url}")).to_vec();
        let directory = tempfile::tempdir().context("failed to make a directory")?;
        Ok(Self { directory, environment: Vec::new(), endpoints, binary: None })
    }

    /// Runs this build of it.
    #[must_use]
    pub fn with_binary(self, binary: PathBuf) -> Self {
        Self { binary: Some(binary), ..self }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the environment's access key.
    #[must_use]
    pub fn with_keys(self, id: &str, secret: &str) -> Self {
        self.with("ALIBABA_CLOUD_ACCESS_KEY_ID", id).with("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret)
    }

    /// Writes a file, and returns where it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.directory.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("failed to make {}", parent.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("failed to write {name}"))?;
        Ok(path)
    }

    /// The directory, in which commands run.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The flags that lead to the cloud.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// Runs a command that calls the cloud.
    ///
    /// # Errors
    /// When the command cannot be run at all.
    pub async fn online(&self, arguments: &[&str]) -> Result<Ended> {
        let endpoints = self.endpoints.iter().map(String::as_str);
        self.run(&arguments.iter().copied().chain(endpoints).collect::<Vec<_>>()).await
    }

    /// Starts `run`, whose pages are served on loopback, and whose log is kept in a file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, arguments: &[&str]) -> Result<Running> {
        // Free a moment ago; the sidecar listens there a moment later.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = address.context("failed to find a free port")?;
        let log = self.directory().join(format!("log-{}", address.port()));
        let file = std::fs::File::create(&log).context("failed to make a file for the log")?;
        let process = self
            .command()?
            .args(["run", &format!("--listen={address}")])
            .args(arguments)
            .args(&self.endpoints)
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .context("failed to start the sidecar")?;
        Ok(Running { process, log, url: format!("http://{address}") })
    }

    /// Runs a command.
    ///
    /// # Errors
    /// When the command cannot be run at all.
    pub async fn run(&self, arguments: &[&str]) -> Result<Ended> {
        let output = self.command()?.args(arguments).output().await.context("failed to run the sidecar")?;
        let text = |bytes| String::from_utf8(bytes).context("the sidecar wrote something that is not UTF-8");
        Ok(Ended { code: output.status.code(), stdout: text(output.stdout)?, stderr: text(output.stderr)? })
    }

    /// Starts a command that does not end by itself, whose output can be read. It is killed when it is dropped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn endless(&self, arguments: &[&str]) -> Result<Child> {
        let mut command = self.command()?;
        command.args(arguments).stdout(Stdio::piped()).spawn().context("failed to start the command")
    }

    fn command(&self) -> Result<Command> {
        let mut command = match &self.binary {
            Some(binary) => Command::new(binary),
            None => Command::new(paths::sidecar_binary()?),
        };
        command
            .current_dir(self.directory())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }
}

/// A sidecar at work. It is killed when this is dropped.
pub struct Running {
    process: Child,
    log: PathBuf,
    url: String,
}

impl Running {
    /// What it has logged so far.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        std::fs::read_to_string(&self.log).context("failed to read the log")
    }

    /// The base URL of its pages, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The id of the process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn id(&self) -> Result<u32> {
        self.process.id().context("the sidecar has ended before")
    }

    /// Gets a page such as `/readyz`; none while it does not listen yet.
    ///
    /// # Errors
    /// When the sidecar has ended; its log is included.
    pub async fn page(&mut self, path: &str) -> Result<Option<(u16, String)>> {
        if let Some(status) = self.process.try_wait().context("failed to look at the sidecar")? {
            anyhow::bail!("the sidecar has ended ({status}):\n{}", self.log()?);
        }
        let answer = HttpClient::plain().get(&format!("{}{path}", self.url)).await.ok();
        Ok(answer.map(|(status, body)| (status, String::from_utf8_lossy(&body).into_owned())))
    }

    /// Tells it to end, as Kubernetes does, and waits until it has. Returns its exit code.
    ///
    /// # Errors
    /// When it cannot be told, or waited for.
    pub async fn stop(&mut self) -> Result<Option<i32>> {
        self.signal(Signal::SIGTERM)?;
        self.ended().await
    }

    /// Kills it, as the kernel does when memory runs out.
    ///
    /// # Errors
    /// When it has ended before.
    pub async fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.ended().await?;
        Ok(())
    }

    /// Has it abort, as after a fatal bug. Returns whether the kernel wrote a core dump.
    ///
    /// # Errors
    /// When it has ended before.
    pub async fn abort(&mut self) -> Result<bool> {
        self.signal(Signal::SIGABRT)?;
        Ok(self.process.wait().await.context("failed to wait for the sidecar")?.core_dumped())
    }

    /// Stops it where it stands, without its knowing, until [`Running::thaw`].
    ///
    /// # Errors
    /// When it has ended before.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it has ended before.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.process.try_wait().context("failed to ask for the sidecar")?.is_some())
    }

    /// Waits until it ends. Returns its exit code, or nothing if it was killed.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn ended(&mut self) -> Result<Option<i32>> {
        Ok(self.process.wait().await.context("failed to wait for the sidecar")?.code())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.id()?).context("the sidecar has no such id")?;
        kill(Pid::from_raw(id), signal).with_context(|| format!("failed to send {signal} to the sidecar"))
    }
}

/// The sum of the samples of a metric on the page `/metrics` that carry these labels.
#[must_use]
pub fn metric(page: &str, name: &str, labels: &[&str]) -> u64 {
    let name = format!("acr_credential_sidecar_{name}");
    page.lines()
        .filter(|line| line.starts_with(&name) && labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
