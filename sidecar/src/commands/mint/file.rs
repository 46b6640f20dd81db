//! The file of `mint --to`. A docker config keeps everything in it that is not a login of our hosts.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::ser::PrettyFormatter;
use serde_json::value::RawValue;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::commands::setup::{self, CommandError};

/// A docker config is far smaller.
const MAX_BYTES: usize = 4 << 20;

/// Keys by which a docker config without `auths` is recognised.
const OF_DOCKER: [&str; 10] = [
    "auths",
    "credsStore",
    "credHelpers",
    "HttpHeaders",
    "currentContext",
    "detachKeys",
    "plugins",
    "proxies",
    "features",
    "aliases",
];

/// The file that is written, behind all links.
pub(super) struct Destination {
    /// As the user named it.
    pub(super) named: PathBuf,
    path: PathBuf,
}

/// A docker config with our logins, and why programs may not read them.
pub(super) struct Merged {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) warnings: Vec<String>,
}

impl Destination {
    /// Follows links, refuses what is no file, because a rename would replace the link or the device, and creates the directory.
    /// It fails where the file cannot be written.
    pub(super) fn find(named: PathBuf) -> Result<Self, CommandError> {
        let path = match fs::symlink_metadata(&named) {
            Ok(found) if found.is_symlink() => fs::canonicalize(&named),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(named.clone()),
        };
        let failed = |source| CommandError::WriteFile { path: named.clone(), source };
        let path = path.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => refused(&named, "is a link to a file that does not exist"),
            _ => failed(error),
        })?;
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(refused(&named, "is not a regular file: write - for standard output"));
        }
        create_directory(directory(&path)).map_err(failed)?;
        let destination = Self { named, path };
        // One that is kept until then would stay behind if the command is interrupted.
        drop(destination.temporary()?);
        Ok(destination)
    }

    /// Returns the file's content; empty if there is no file.
    fn read(&self) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        match setup::read_just_beyond(MAX_BYTES, &self.path) {
            Ok(text) if text.len() > MAX_BYTES => {
                Err(refused(&self.named, "is too large for a docker config"))
            }
            Ok(text) => Ok(text.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Zeroizing::default()),
            Err(source) => Err(CommandError::WriteFile { path: self.named.clone(), source }),
        }
    }

    /// Returns the file's docker config with these logins in it.
    pub(super) fn with_logins(&self, minted: &[u8]) -> Result<Merged, CommandError> {
        merge(&self.read()?, minted).map_err(|problem| refused(&self.named, &problem))
    }

    /// Refuses a file that must not be replaced by something else than a docker config.
    pub(super) fn refuse_docker_config(&self) -> Result<(), CommandError> {
        let text = self.read()?;
        let has = |key: &str| text.windows(key.len()).any(|part| part == key.as_bytes());
        // Even a damaged one contains logins.
        let is_damaged = || [r#""auths""#, "credHelpers", "credsStore"].into_iter().any(has);
        if !text.trim_ascii().is_empty() && (merge(&text, NO_LOGINS).is_ok() || is_damaged()) {
            return Err(refused(&self.named, "is a docker config: write other output to another file"));
        }
        Ok(())
    }

    /// Writes the file as a whole.
    pub(super) fn write(&self, text: &[u8]) -> Result<(), CommandError> {
        let mut file = self.temporary()?;
        let written = || {
            file.write_all(text)?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            Ok(())
        };
        written().map_err(|source| CommandError::WriteFile { path: self.named.clone(), source })
    }

    /// Creates the file that replaces this one: with owner, group and mode of the existing file, or else only for its owner.
    fn temporary(&self) -> Result<NamedTempFile, CommandError> {
        let failed = |source| CommandError::WriteFile { path: self.named.clone(), source };
        // Temporary files have the mode 0600 from the start.
        let file = NamedTempFile::new_in(directory(&self.path)).map_err(failed)?;
        #[cfg(unix)]
        if let Ok(existing) = fs::metadata(&self.path) {
            use std::os::unix::fs::{MetadataExt as _, fchown};
            fchown(file.as_file(), Some(existing.uid()), Some(existing.gid())).map_err(|error| {
                let problem = format!("cannot keep its owner and group: write to another file ({error})");
                refused(&self.named, &problem)
            })?;
            file.as_file().set_permissions(existing.permissions()).map_err(failed)?;
        }
        Ok(file)
    }
}

/// What is said about other files.
const OTHER: &str = "is not a docker config, and is left alone";

/// A docker config without logins.
pub(super) const NO_LOGINS: &[u8] = br#"{"auths":{}}"#;

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Creates a directory and its parents for only this user, as `docker login` does.
fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn refused(path: &Path, problem: &str) -> CommandError {
    CommandError::Refused(format!("--to {} {problem}", path.display()))
}

/// The entries of a JSON object as they are written, in the order of the document.
struct Entries<V>(Vec<(String, V)>);

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Kept(&'a RawValue),
    Logins(Entries<&'a RawValue>),
}

#[derive(Deserialize)]
struct Minted<'a> {
    #[serde(borrow)]
    auths: Entries<&'a RawValue>,
}

/// Puts the logins of one docker config into another one. An error quotes nothing, because everything may be a password.
fn merge(existing: &[u8], minted: &[u8]) -> Result<Merged, String> {
    if existing.trim_ascii().is_empty() {
        return Ok(Merged { bytes: minted.to_vec().into(), warnings: Vec::new() });
    }
    let of_key = |key: &str| format!("{OTHER}: {key} is not an object");
    let Entries(document) = serde_json::from_slice::<Entries<&RawValue>>(existing).map_err(|error| {
        format!("{OTHER}: it is not a JSON object (line {}, column {})", error.line(), error.column())
    })?;
    if !document.is_empty() && !document.iter().any(|(key, _)| OF_DOCKER.contains(&key.as_str())) {
        return Err(format!("{OTHER}: it has no auths"));
    }
    let value = |key: &str| document.iter().find(|(name, _)| name == key).map(|(_, value)| value.get());
    let mut auths = match value("auths") {
        None | Some("null") => Entries(Vec::new()),
        Some(text) => serde_json::from_str(text).map_err(|_| of_key("auths"))?,
    };
    let helpers: Option<HashMap<String, &RawValue>> = match value("credHelpers") {
        None => None,
        Some(text) => serde_json::from_str(text).map_err(|_| of_key("credHelpers"))?,
    };
    let store = value("credsStore").filter(|text| !matches!(*text, "null" | r#""""#));

    let most = 2 * (existing.len() + minted.len());
    let Minted { auths: Entries(minted) } =
        serde_json::from_slice(minted).map_err(|error| error.to_string())?;
    let has_helper = |host: &str| helpers.as_ref().is_some_and(|helpers| helpers.contains_key(host));
    let mut warnings: Vec<_> = minted
        .iter()
        .filter(|(host, _)| has_helper(host))
        .map(|(host, _)| {
            format!(
                "credHelpers has an entry for {host}: docker, podman, skopeo, buildkit and helm ask that helper and do not \
                 read this login: remove the entry, or write to another file"
            )
        })
        .collect();
    if store.is_some() && !minted.iter().all(|(host, _)| has_helper(host)) {
        warnings.push(
            "credsStore is set: docker, buildkit and helm ask that store and do not read this login; podman and skopeo \
             read it: write to another file for the others"
                .to_owned(),
        );
    }
    let more_specific = |key: &str| {
        minted.iter().any(|(host, _)| key.strip_prefix(&**host).is_some_and(|rest| rest.starts_with('/')))
    };
    warnings.extend(auths.0.iter().filter(|(key, _)| more_specific(key)).map(|(key, _)| {
        format!(
            "auths has an entry for {key}: podman, buildah and skopeo read it instead of this login for images there: remove the \
             entry, or write to another file"
        )
    }));
    for (host, login) in minted {
        auths.put(host, login);
    }
    let kept = document.into_iter().map(|(key, value)| (key, Value::Kept(value)));
    let mut document = Entries(kept.collect());
    document.put("auths".to_owned(), Value::Logins(auths));
    // White space at most doubles the length, so the buffer does not grow and leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    let formatter = PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut *bytes, formatter);
    document.serialize(&mut serializer).map_err(|error| error.to_string())?;
    bytes.push(b'\n');
    Ok(Merged { bytes, warnings })
}

impl<V> Entries<V> {
    /// Replaces the value of a key, or adds the key at the end.
    fn put(&mut self, key: String, value: V) {
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All<V>(std::marker::PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for All<V> {
            type Value = Entries<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(String, V)> = Vec::new();
                while let Some((key, value)) = map.next_entry()? {
                    // Programs disagree about which of them counts.
                    if entries.iter().any(|(other, _)| *other == key) {
                        return Err(A::Error::custom("a key occurs twice"));
                    }
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(All(std::marker::PhantomData))
    }
}

impl<V: Serialize> Serialize for Entries<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests;
