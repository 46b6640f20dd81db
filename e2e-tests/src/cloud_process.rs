//! The fake cloud as a process of its own, so that its memory and its threads are not the caller's.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use serde_json::Value;

use crate::client::HttpClient;
use crate::paths;

/// A running fake cloud. It ends when this is dropped.
pub struct CloudProcess {
    child: Child,
    url: String,
}

impl CloudProcess {
    /// Starts one with this state, a YAML file.
    ///
    /// # Errors
    /// When the binary is missing, or does not start.
    pub fn start(state: &Path) -> Result<Self> {
        let mut child = Command::new(paths::fake_cloud_binary()?)
            .arg("--state")
            .arg(state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the fake cloud")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("the fake cloud has no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let addresses: Value = serde_json::from_str(&line).context("the fake cloud did not start")?;
        let url = addresses["url"].as_str().context("the fake cloud has no address")?.to_owned();
        Ok(Self { child, url })
    }

    /// Where it is reached.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Changes what is in the cloud by a JSON merge patch.
    ///
    /// # Errors
    /// When the cloud refuses.
    pub async fn patch(&self, change: &Value) -> Result<()> {
        let body = change.to_string().into();
        checked(HttpClient::plain().patch(&format!("{}/_admin/state", self.url), body).await?)?;
        Ok(())
    }

    /// Sets a fault, such as `{"kind": "delay", "ms": 20}`.
    ///
    /// # Errors
    /// When the cloud refuses.
    pub async fn add_fault(&self, fault: &Value) -> Result<()> {
        let body = fault.to_string().into();
        checked(HttpClient::plain().post(&format!("{}/_admin/faults", self.url), body).await?)?;
        Ok(())
    }

    /// Reads a page of its administration, such as `calls`.
    ///
    /// # Errors
    /// When there is no such page.
    pub async fn read(&self, page: &str) -> Result<Value> {
        let answer = checked(HttpClient::plain().get(&format!("{}/_admin/{page}", self.url)).await?)?;
        serde_json::from_slice(&answer).context("the fake cloud answers something that is not JSON")
    }
}

impl Drop for CloudProcess {
    fn drop(&mut self) {
        // It ends by itself when its standard input does; there is nobody left to tell.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn checked((status, answer): (u16, Bytes)) -> Result<Bytes> {
    ensure!((200..300).contains(&status), "the fake cloud refuses: {}", String::from_utf8_lossy(&answer));
    Ok(answer)
}
