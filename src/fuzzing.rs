//! Functions behind the targets in `fuzz/`, which feed them untrusted input. They panic when an invariant does not hold. A test
//! replays the corpus in that directory.
#![expect(clippy::missing_panics_doc, reason = "that is what they are for")]

use acr_credential_core::policy::{LookupError, ServiceAccounts};

use crate::{validate_settings, validate_with};

/// A source of service accounts that answers no look-up.
struct NoCluster;

impl ServiceAccounts for NoCluster {
    fn pull_secrets(&self, _: &str, _: &str) -> Result<Vec<String>, LookupError> {
        Err(LookupError::NotFound)
    }
}

/// Runs the policy on a request with its settings. The response is JSON, and either accepts the request or explains why not.
pub fn admission(text: &[u8]) {
    let answer = validate_with(text, &NoCluster);
    assert!(answer.is_ok_and(|answer| answer.starts_with(b"{\"accepted\":")));
}

/// Validates settings. The response is JSON.
pub fn settings(text: &[u8]) {
    let answer = validate_settings(text);
    assert!(answer.is_ok_and(|answer| answer.starts_with(b"{\"valid\":")));
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_corpus_of_the_fuzzers_passes() {
        for (name, target) in [("admission", super::admission as fn(&[u8])), ("settings", super::settings)] {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
            let files: Vec<_> = fs::read_dir(&corpus).unwrap().map(|file| file.unwrap().path()).collect();
            assert!(!files.is_empty(), "{}", corpus.display());
            for file in files {
                target(&fs::read(file).unwrap());
            }
        }
    }
}
