use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

use super::*;

const OURS: &[u8] = br#"{"auths":{"a.example.com":{"auth":"NEW"},"b.example.com:5000":{"auth":"NEW"}}}"#;

fn merged(existing: &str) -> (String, Vec<String>) {
    let Merged { bytes, warnings } = merge(existing.as_bytes(), OURS).unwrap();
    (String::from_utf8(bytes.to_vec()).unwrap(), warnings)
}

#[test]
fn only_the_logins_of_our_hosts_are_replaced() {
    let existing = r#"{
	"HttpHeaders": { "X":   1.50e3 },
	"auths": {
		"other.example.com": {
			"auth": "OLD", "unknown": [1, 2]
		},
		"b.example.com:5000": { "identitytoken": "OLD" },
		"https://index.docker.io/v1/": {}
	},
	"credHelpers": {"ecr.example.com": "ecr-login"},
	"unknown": {"b": 1, "a": 12345678901234567890123}
}"#;
    let (text, warnings) = merged(existing);
    let expected = existing.replace(r#"{ "identitytoken": "OLD" }"#, r#"{"auth":"NEW"}"#).replace(
        r#""https://index.docker.io/v1/": {}"#,
        "\"https://index.docker.io/v1/\": {},\n\t\t\"a.example.com\": {\"auth\":\"NEW\"}",
    );
    assert_eq!(text, expected + "\n");
    assert!(warnings.is_empty(), "{warnings:?}");
    // Again, and nothing changes.
    assert_eq!(merged(&text).0, text);
}

#[test]
fn an_empty_file_counts_as_absent_and_a_config_without_auths_gets_them() {
    assert_eq!(merged(" \n").0.as_bytes(), OURS);
    for existing in ["{}", r#"{"auths": null}"#, r#"{"credsStore": "", "auths": {}}"#] {
        let (text, warnings) = merged(existing);
        assert_eq!(text.matches("NEW").count(), 2, "{text}");
        assert!(warnings.is_empty());
    }
}

#[test]
fn logins_that_programs_do_not_read_are_warned_about() {
    let (text, warnings) = merged(r#"{"credHelpers": {"a.example.com": "x"}, "auths": {}}"#);
    assert!(text.contains(r#""credHelpers": {"a.example.com": "x"}"#), "{text}");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("credHelpers has an entry for a.example.com: "), "{warnings:?}");
    let (text, warnings) = merged(r#"{"credsStore": "desktop"}"#);
    assert!(text.starts_with("{\n\t\"credsStore\": \"desktop\",\n\t\"auths\": {"), "{text}");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("credsStore is set: "), "{warnings:?}");
    let (text, warnings) = merged(
        r#"{"auths": {"a.example.com/team": {}, "a.example.com.other/team": {}, "a.example.com:5000/team": {}}}"#,
    );
    assert!(text.contains(r#""a.example.com/team": {}"#), "{text}");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("auths has an entry for a.example.com/team: "), "{warnings:?}");
}

#[test]
fn a_docker_config_is_not_replaced_by_other_output_even_if_it_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    for (text, is_refused) in [
        (r#"{"auths": {"a.example.com": {"#, true),
        (r#"{"auths": {}, "auths": {}}"#, true),
        (r#"{"credHelpers": {}, "#, true),
        (r#"{"credsStore": "desktop""#, true),
        ("{}", true),
        ("", false),
        (r#"{"registries": []}"#, false),
    ] {
        fs::write(&path, text).unwrap();
        let checked = Destination::find(path.clone()).unwrap().refuse_docker_config();
        assert_eq!(checked.is_err(), is_refused, "{text}");
    }
}

#[test]
fn what_is_not_a_docker_config_is_refused_and_not_quoted() {
    for existing in [
        "MARKER",
        r#"["MARKER"]"#,
        r#"{"auths": "MARKER"}"#,
        r#"{"auths": {}, "credHelpers": ["MARKER"]}"#,
        r#"{"auths": {}, "auths": {"x": "MARKER"}}"#,
        r#"{"registry.example.com": {"auth": "MARKER"}}"#,
        r#"{"kind": "Secret", "data": {"x": "MARKER"}}"#,
    ] {
        let problem = merge(existing.as_bytes(), OURS).err().unwrap();
        assert!(problem.starts_with("is not a docker config") && !problem.contains("MARKER"), "{problem}");
    }
}

#[test]
fn links_are_followed_and_what_is_no_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("inner")).unwrap();
    fs::write(at("inner/real.json"), r#"{"auths": {"other": {}}}"#).unwrap();
    symlink("inner/real.json", at("link.json")).unwrap();
    fs::set_permissions(at("inner/real.json"), fs::Permissions::from_mode(0o640)).unwrap();
    // Only root may do this.
    let _ = chown(at("inner/real.json"), Some(1001), Some(1002));
    let owner = |found: fs::Metadata| (found.uid(), found.gid(), found.mode() & 0o777);
    let before = owner(fs::metadata(at("inner/real.json")).unwrap());
    symlink("absent.json", at("dangling.json")).unwrap();

    let destination = Destination::find(at("link.json")).unwrap();
    destination.write(&destination.with_logins(OURS).unwrap().bytes).unwrap();
    assert!(fs::symlink_metadata(at("link.json")).unwrap().is_symlink());
    let text = fs::read_to_string(at("inner/real.json")).unwrap();
    assert!(text.contains(r#""other": {}"#) && text.contains("NEW"), "{text}");
    assert_eq!(owner(fs::metadata(at("inner/real.json")).unwrap()), before);
    assert_eq!(before.2, 0o640);
    assert!(destination.refuse_docker_config().is_err());

    let check = |name: &str, expected: &str| {
        let error = Destination::find(at(name)).err().unwrap().to_string();
        assert!(error.ends_with(expected), "{error}");
    };
    check("dangling.json", "is a link to a file that does not exist");
    check("inner", "is not a regular file: write - for standard output");
    check("/dev/null", "is not a regular file: write - for standard output");
    check("inner/real.json/auth.json", "/inner/real.json/auth.json");
}

#[test]
fn a_new_file_and_its_new_directories_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let destination = Destination::find(at("a/b/auth.json")).unwrap();
    assert_eq!(fs::read_dir(at("a/b")).unwrap().count(), 0);
    destination.write(OURS).unwrap();
    for (name, mode) in [("a", 0o700), ("a/b", 0o700), ("a/b/auth.json", 0o600)] {
        assert_eq!(fs::metadata(at(name)).unwrap().mode() & 0o777, mode, "{name}");
    }
}
