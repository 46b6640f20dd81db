//! A directory in which a user's commands work as they are written: `kubectl` and `acr-credential-sidecar` are on its
//! `PATH`, and lead to the control plane and to the fake cloud.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::paths;
use crate::sidecar::{Ended, Sidecar};

/// The directory, with the programs of a user in it.
pub struct Desk {
    /// Runs the sidecar in it.
    pub sidecar: Sidecar,
}

impl Desk {
    /// Puts the programs into the sidecar's directory. With a key, a pair of id and secret, the sidecar's commands find it in
    /// their environment; without, they have the identity of the machine.
    ///
    /// # Errors
    /// When a program was not built, or cannot be written.
    pub fn new(sidecar: Sidecar, key: Option<(&str, &str)>) -> Result<Self> {
        let desk = Self { sidecar };
        let directory = desk.sidecar.directory();
        desk.program("kubectl", &kubectl(&paths::cluster_binary()?, directory))?;
        let program = sidecar_program(&desk.sidecar, &paths::sidecar_binary()?, key);
        desk.program("acr-credential-sidecar", &program)?;
        Ok(desk)
    }

    /// The administrator's kubeconfig, once somebody has put it there.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.sidecar.directory().join("kubeconfig")
    }

    /// The directory of the programs.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.sidecar.directory().join("bin")
    }

    /// Makes a script a program.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn program(&self, name: &str, script: &str) -> Result<()> {
        let file = self.sidecar.file(&format!("bin/{name}"), script)?;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&file, executable)
            .with_context(|| format!("failed to make {name} a program"))
    }

    /// Runs a command as a shell does that was told where the programs and the cluster are.
    ///
    /// # Errors
    /// When there is no shell, or the command writes something else than text.
    pub async fn sh(&self, command: &str) -> Result<Ended> {
        let output = tokio::process::Command::new("sh")
            .args(["-c", command])
            .current_dir(self.sidecar.directory())
            .env("KUBECONFIG", self.kubeconfig())
            .env("PATH", self.path()?)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("failed to run sh")?;
        let text = |bytes| String::from_utf8(bytes).context("a command wrote something that is not UTF-8");
        Ok(Ended { code: output.status.code(), stdout: text(output.stdout)?, stderr: text(output.stderr)? })
    }

    /// The `PATH` with our programs in front.
    ///
    /// # Errors
    /// When the directory has a name that cannot stand in it.
    fn path(&self) -> Result<std::ffi::OsString> {
        let others = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(self.programs()).chain(std::env::split_paths(&others));
        std::env::join_paths(all).context("failed to put the programs on the PATH")
    }
}

/// kubectl, which keeps what it remembers in the directory.
fn kubectl(cluster: &Path, directory: &Path) -> String {
    let cache = quoted(&directory.join("kubectl-cache").to_string_lossy());
    format!("#!/bin/sh\nKUBECACHEDIR={cache} exec {} kubectl \"$@\"\n", quoted(&cluster.to_string_lossy()))
}

/// The sidecar, which finds the fake cloud.
fn sidecar_program(sidecar: &Sidecar, binary: &Path, key: Option<(&str, &str)>) -> String {
    let keys = key.map_or_else(String::new, |(id, secret)| {
        format!("ALIBABA_CLOUD_ACCESS_KEY_ID={id} ALIBABA_CLOUD_ACCESS_KEY_SECRET={secret}")
    });
    let flags: Vec<_> = sidecar.endpoints().iter().map(|flag| quoted(flag)).collect();
    format!(
        "#!/bin/sh\n\
         # The commands that call the cloud are led to the fake one.\n\
         export {keys} NO_PROXY=127.0.0.1\n\
         case \"$1\" in check | mint | run) set -- \"$@\" {} ;; esac\n\
         exec {} \"$@\"\n",
        flags.join(" "),
        quoted(&binary.to_string_lossy()),
    )
}

/// A word for `sh`.
#[must_use]
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What an interactive bash reads first: the user's own file, and after it what the user's file must not change. `kubectl` leads to the
/// control plane of the desk and to no other, even where the user has an alias of that name, another program, or another cluster.
#[must_use]
pub fn start_up_file(programs: &Path, kubeconfig: &Path) -> String {
    format!(
        "[ ! -f ~/.bashrc ] || . ~/.bashrc\n\
         unalias kubectl acr-credential-sidecar 2> /dev/null\n\
         unset -f kubectl acr-credential-sidecar\n\
         export PATH={}:\"$PATH\" KUBECONFIG={}\n\
         PS1=\"(acr-demo) $PS1\"\n",
        quoted(&programs.to_string_lossy()),
        quoted(&kubeconfig.to_string_lossy()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_shell_kubectl_leads_to_the_desk_whatever_the_users_own_file_sets() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = home.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        write("bin/kubectl", "#!/bin/sh\necho \"desk $KUBECONFIG\"\n");
        write("own/kubectl", "#!/bin/sh\necho production\n");
        let start = start_up_file(&home.path().join("bin"), Path::new("/desk/kubeconfig"));
        write("start", &start);
        let alias = "alias kubectl='echo alias'";
        let function = "kubectl() { echo function; }";
        for own in ["", alias, function] {
            let bashrc = format!("export PATH=~/own:/usr/bin:/bin KUBECONFIG=~/.kube/production\n{own}\n");
            write(".bashrc", &bashrc);
            let output = std::process::Command::new("bash")
                .arg("--rcfile")
                .arg(home.path().join("start"))
                .args(["-i", "-c", "kubectl"])
                .env("HOME", home.path())
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "desk /desk/kubeconfig\n", "{own}");
        }
    }
}
