//! A request to the policy, with its settings.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| acr_credential_helper_policy::fuzzing::admission(text));
