//! Settings of the policy.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| acr_credential_helper_policy::fuzzing::settings(text));
