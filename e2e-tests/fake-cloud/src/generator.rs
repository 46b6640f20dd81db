//! Everything that is handed out: keys, tokens, ids. Repeatable where the state has a seed.

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::signature::hex;

/// Makes them.
#[derive(Clone)]
pub(crate) struct Generator {
    key: hmac::Key,
    counter: u64,
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator").field("counter", &self.counter).finish_non_exhaustive()
    }
}

impl Generator {
    pub(crate) fn new(seed: Option<&str>) -> Self {
        let random = || {
            let mut bytes = [0; 32];
            // Without randomness there is still a usable, if repeatable, fake.
            let _ = SystemRandom::new().fill(&mut bytes);
            bytes.to_vec()
        };
        let seed = seed.map_or_else(random, |seed| seed.as_bytes().to_vec());
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &seed), counter: 0 }
    }

    /// In the form of a UUID, in capitals.
    pub(crate) fn request_id(&mut self) -> String {
        let digits = self.digits("request", 32).to_ascii_uppercase();
        let mut id = String::new();
        for (position, digit) in digits.chars().enumerate() {
            if [8, 12, 16, 20].contains(&position) {
                id.push('-');
            }
            id.push(digit);
        }
        id
    }

    /// A session's access key, which begins with `STS.`.
    pub(crate) fn session_key_id(&mut self) -> String {
        format!("STS.EXAMPLE{}", self.digits("session", 18))
    }

    /// A secret of that purpose.
    pub(crate) fn secret(&mut self, purpose: &str) -> String {
        format!("EXAMPLE-{}", self.digits(purpose, 48))
    }

    fn digits(&mut self, purpose: &str, length: usize) -> String {
        self.counter += 1;
        let tag = hmac::sign(&self.key, format!("{purpose} {}", self.counter).as_bytes());
        hex(tag.as_ref()).chars().take(length).collect()
    }
}
