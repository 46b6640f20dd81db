//! Functions behind the targets in `fuzz/`, which feed them untrusted input. They panic when an invariant does not hold. A test
//! replays the corpus in that directory.
#![expect(clippy::missing_panics_doc, reason = "that is what they are for")]

use k8s_openapi::api::core::v1::Secret;

pub use crate::cloud::fuzz_answer as answer;
use crate::cluster::observed::{LONGEST_LIST, LONGEST_REGISTRIES, Namespace, PullSecret, ServiceAccount};
pub use crate::commands::fuzz_manifest as manifest;
use crate::configuration;
use crate::kubernetes::{Metadata, Place, cut, decode};

/// Reads a list from the API server. The objects must not depend on the pieces in which the text arrives.
pub fn list(text: &[u8]) {
    let (whole, rest) = cut(text, text.len().max(1));
    assert_eq!(
        (&whole, &rest),
        (&cut(text, 1).0, &cut(text, 1).1),
        "the pieces of the text make a difference"
    );
    for item in &whole {
        object(item);
    }
}

/// Reads an object of a list or a watch. The parts that are kept must be limited in size.
pub fn object(text: &[u8]) {
    const LONGEST: usize = 128;
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Place { namespace, name } = Place::parse(text);
    assert!(namespace.len() + name.len() <= text.len());
    let _ = decode::<Secret>(text);
    let Ok(metadata) = Metadata::parse(text) else { return };
    let PullSecret { ours, surely_ours, hash, inputs, registries, .. } = PullSecret::from_metadata(&metadata);
    assert!(hash.len() <= LONGEST && inputs.len() <= LONGEST && registries.len() <= LONGEST_REGISTRIES);
    assert!(ours || !surely_ours);
    let _ = Namespace::from_metadata(&metadata, None);
    if let Ok(account) = ServiceAccount::from_object(text, &metadata, "acr-credential-secret-aggregation") {
        assert!(account.pull_secrets.len() <= LONGEST_LIST);
    }
}

/// Reads a configuration in any of its forms. Each finding must have a problem and a fix.
pub fn configuration(text: &[u8]) {
    let examined = configuration::examine(text);
    let mistakes = examined.outcome.err().map(|mistakes| mistakes.0).unwrap_or_default();
    assert!(mistakes.len() + examined.warnings.len() <= 1000);
    for finding in mistakes.iter().chain(&examined.warnings) {
        assert!(!finding.problem.is_empty() && !finding.fix.is_empty(), "{finding:?}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Runs a target on each file of its corpus.
    #[track_caller]
    fn replay(name: &str, target: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let files: Vec<_> = fs::read_dir(&corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "{}", corpus.display());
        for file in files {
            target(&fs::read(file).unwrap());
        }
    }

    #[test]
    fn the_corpus_of_the_fuzzers_passes() {
        replay("list", super::list);
        replay("object", super::object);
        replay("configuration", super::configuration);
        replay("answer", super::answer);
        replay("manifest", super::manifest);
    }
}
