//! Requests that no API server sends: a clear refusal or an untouched pass, never a panic, never a quotation.

use serde_json::{Value, json};

use crate::support::{Accounts, Answer, OURS, create, pod, pod_with, refs, review, send, update};

#[track_caller]
fn malformed(request: &Value, message: &str) {
    let answer = review(request, &json!({}));
    assert_eq!(answer.is_refused(400), message);
}

fn raw(object: &str) -> Answer {
    let payload = format!(
        r#"{{"request":{{"kind":{{"group":"","version":"v1","kind":"Pod"}},"namespace":"default","operation":"CREATE","object":{object}}},"settings":{{}}}}"#
    );
    send(payload.as_bytes(), &Accounts::none())
}

#[test]
fn payloads_that_are_no_requests_are_refused() {
    let check = |payload: &[u8], message: &str| {
        assert_eq!(send(payload, &Accounts::none()).is_refused(400), message);
    };
    check(b"", "request: is not valid JSON (line 1, column 0)");
    check(b"\xff\xff", "request: is not UTF-8");
    check(b"[]", "request: must be a map");
    check(b"{}", "request: lacks `request`");
    check(br#"{"request": "hunter2"}"#, "request: must be a map");
    check(br#"{"request": {"kind": {"kind": "Pod"}}}"#, "request: lacks `operation`");
    check(br#"{"request": {"kind": 5, "operation": "CREATE"}}"#, "request.kind: must be a map");
    check(
        br#"{"request": {"kind": {"kind": "Pod"}, "operation": ["hunter2"]}}"#,
        "request.operation: must be a string",
    );
}

#[test]
fn users_of_the_wrong_type_are_refused_by_path() {
    for (user_info, message) in [
        (json!("hunter2"), "request.userInfo: must be a map"),
        (json!(["hunter2"]), "request.userInfo: must be a map"),
        (json!({ "username": 5 }), "request.userInfo.username: must be a string"),
        (json!({ "username": ["hunter2"] }), "request.userInfo.username: must be a string"),
    ] {
        let mut request = create("", "Pod", &pod());
        request["userInfo"] = user_info;
        malformed(&request, message);
    }
}

#[test]
fn a_list_is_never_taken_for_a_map() {
    let check = |payload: &str, message: &str| {
        assert_eq!(send(payload.as_bytes(), &Accounts::none()).is_refused(400), message);
    };
    check(r#"{"request": [{"kind": "Pod"}, "hunter2"]}"#, "request: must be a map");
    check(r#"{"request": {"kind": ["", "hunter2"], "operation": "CREATE"}}"#, "request.kind: must be a map");
    for (object, message) in [
        (json!([{}, { "hunter2": 1 }]), "Pod in default: must be a map"),
        (json!({ "metadata": ["hunter2"], "spec": {} }), "Pod in default: metadata: must be a map"),
        (json!({ "spec": [["hunter2"]] }), "Pod in default: spec: must be a map"),
        (
            json!({ "metadata": { "ownerReferences": [["hunter2"]] }, "spec": {} }),
            "Pod in default: metadata.ownerReferences[0]: must be a map",
        ),
        (
            json!({ "spec": { "imagePullSecrets": [["hunter2"]] } }),
            "Pod in default: spec.imagePullSecrets[0]: must be a map",
        ),
    ] {
        malformed(&create("", "Pod", &object), message);
    }
    let job = json!({ "spec": { "jobTemplate": { "spec": { "template": [{ "spec": {} }] } } } });
    let path = "spec.jobTemplate.spec.template";
    malformed(&create("batch", "CronJob", &job), &format!("CronJob in default: {path}: must be a map"));
}

#[test]
fn a_selected_request_needs_a_namespace_an_object_and_a_spec() {
    let mut request = create("", "Pod", &pod());
    request["namespace"] = json!(null);
    malformed(&request, "request.namespace: is missing");

    malformed(&create("", "Pod", &json!(null)), "Pod in default: object: is missing");
    malformed(&create("", "Pod", &json!({})), "Pod in default: lacks `spec`");
    malformed(&create("", "Pod", &json!({ "spec": null })), "Pod in default: spec: must be a map");
    malformed(&create("", "Pod", &json!({ "spec": "hunter2" })), "Pod in default: spec: must be a map");
    malformed(
        &create("apps", "Deployment", &json!({ "spec": {} })),
        "Deployment in default: spec: lacks `template`",
    );
    malformed(
        &create("batch", "CronJob", &json!({ "spec": { "jobTemplate": { "spec": { "template": {} } } } })),
        "CronJob in default: spec.jobTemplate.spec.template: lacks `spec`",
    );
}

#[test]
fn lists_of_the_wrong_type_are_refused_by_path() {
    let with = |list: Value| {
        let mut pod = pod();
        pod["spec"]["imagePullSecrets"] = list;
        create("", "Pod", &pod)
    };
    malformed(&with(json!("hunter2")), "Pod in default: spec.imagePullSecrets: must be a list");
    malformed(&with(json!({ "name": "hunter2" })), "Pod in default: spec.imagePullSecrets: must be a list");
    malformed(
        &with(json!([{ "name": "a" }, "hunter2"])),
        "Pod in default: spec.imagePullSecrets[1]: must be a map",
    );
    malformed(
        &with(json!([{ "name": 7 }])),
        "Pod in default: spec.imagePullSecrets[0].name: must be a string",
    );

    let template = |list: Value| json!({ "spec": { "template": { "spec": { "imagePullSecrets": list } } } });
    malformed(
        &create("apps", "Deployment", &template(json!(5))),
        "Deployment in default: spec.template.spec.imagePullSecrets: must be a list",
    );
    malformed(
        &update("apps", "Deployment", &template(json!("hunter2")), &template(refs(&["mine"]))),
        "Deployment in default: oldObject.spec.template.spec.imagePullSecrets: must be a list",
    );
    let mut without_old = update("apps", "Deployment", &json!(null), &template(refs(&["mine"])));
    without_old["oldObject"] = json!(null);
    malformed(&without_old, "Deployment in default: oldObject: is missing");
    malformed(
        &create("", "ServiceAccount", &json!({ "metadata": { "name": "default" }, "imagePullSecrets": 1 })),
        "ServiceAccount in default: imagePullSecrets: must be a list",
    );
}

#[test]
fn wrong_types_of_other_fields_that_decide_are_refused_by_path() {
    let mut request = create("", "Pod", &pod());
    request["object"]["metadata"]["annotations"] = json!(["hunter2"]);
    malformed(&request, "Pod in default: metadata.annotations: must be a map");
    let mut request = create("", "Pod", &pod());
    request["object"]["metadata"]["ownerReferences"] = json!("hunter2");
    malformed(&request, "Pod in default: metadata.ownerReferences: must be a list");
    let mut request = create("", "Pod", &pod());
    request["object"]["spec"]["containers"] = json!({ "image": "hunter2" });
    let answer = review(&request, &json!({ "registries": ["registry.example.com"] }));
    assert_eq!(answer.is_refused(400), "Pod in default: spec.containers: must be a list");
}

#[test]
fn requests_without_an_object_of_ours_pass_untouched() {
    let mut delete = create("", "Pod", &json!(null));
    delete["operation"] = json!("DELETE");
    delete["oldObject"] = pod();
    review(&delete, &json!({})).is_untouched();

    let mut connect = create("", "PodExecOptions", &json!({ "stdin": true }));
    connect["operation"] = json!("CONNECT");
    connect["subResource"] = json!("exec");
    review(&connect, &json!({})).is_untouched();

    review(&create("", "ConfigMap", &json!({ "data": 5 })), &json!({})).is_untouched();
}

#[test]
fn the_order_of_fields_does_not_matter() {
    let object = r#"{"spec":{"containers":[]},"metadata":{"name":"web"}}"#;
    let fields = [
        r#""kind":{"kind":"Pod","version":"v1","group":""}"#,
        r#""namespace":"default""#,
        r#""operation":"CREATE""#,
        &format!(r#""object": {object} "#),
    ];
    let expected = object.replace("[]", &format!(r#"[],"imagePullSecrets":[{{"name":"{OURS}"}}]"#));
    for rotation in 0..fields.len() {
        let mut fields = fields;
        fields.rotate_left(rotation);
        let payload = format!(r#"{{"settings":{{}},"request":{{{}}}}}"#, fields.join(","));
        let answer = send(payload.as_bytes(), &Accounts::none());
        assert_eq!(answer.mutated_object.unwrap().get(), expected);
    }
}

#[test]
fn malformed_objects_that_are_not_selected_pass_untouched() {
    for object in
        [json!("hunter2"), json!({ "spec": 5 }), json!({ "metadata": [], "spec": { "imagePullSecrets": 7 } })]
    {
        let mut request = create("", "Pod", &object);
        request["namespace"] = json!("elsewhere");
        review(&request, &json!({})).is_untouched();
    }
}

#[test]
fn escaped_keys_and_names_are_understood() {
    let answer = raw(r#"{"sp\u0065c": {"imagePull\u0053ecrets": [{"n\u0061me": "mi\u006ee"}]}}"#);
    assert!(answer.is_refused(403).contains("lists \"mine\""));
    let answer = raw(r#"{"sp\u0065c": {"imagePull\u0053ecrets": [ ]}, "x": "\ud83d\ude00"}"#);
    assert_eq!(
        answer.mutated_object.unwrap().get(),
        format!(
            r#"{{"sp\u0065c": {{"imagePull\u0053ecrets": [ {{"name":"{OURS}"}}]}}, "x": "\ud83d\ude00"}}"#
        )
    );
}

#[test]
fn keys_that_decide_may_stand_there_once() {
    assert_eq!(raw(r#"{"spec": {}, "spec": {}}"#).is_refused(400), "Pod in default: contains `spec` twice");
    assert_eq!(
        raw(r#"{"spec": {"imagePullSecrets": [], "imagePull\u0053ecrets": []}}"#).is_refused(400),
        "Pod in default: spec: contains `imagePullSecrets` twice"
    );
    // Others are no business of ours.
    assert!(raw(r#"{"x": 1, "x": 2, "spec": {"y": 1, "y": 2}}"#).mutated_object.is_some());
}

#[test]
fn specs_without_containers_get_the_list_all_the_same() {
    for (object, expected) in [
        (r#"{"spec":{}}"#, format!(r#"{{"spec":{{"imagePullSecrets":[{{"name":"{OURS}"}}]}}}}"#)),
        (
            r#"{"spec":{ "a":1}}"#,
            format!(r#"{{"spec":{{"imagePullSecrets":[{{"name":"{OURS}"}}], "a":1}}}}"#),
        ),
    ] {
        assert_eq!(raw(object).mutated_object.unwrap().get(), expected);
    }
}

#[test]
fn deep_nesting_and_huge_numbers_pass_through() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let object = format!(
        r#"{{"deep": {deep}, "huge": 1e999999, "long": {}, "spec": {{"containers": []}}}}"#,
        "9".repeat(400)
    );
    let answer = raw(&object);
    assert!(answer.accepted, "{:?}", answer.message);
    let wanted = object.replace(
        r#""containers": []"#,
        &format!(r#""containers": [],"imagePullSecrets":[{{"name":"{OURS}"}}]"#),
    );
    assert!(answer.mutated_object.unwrap().get() == wanted);
}

#[test]
fn very_large_requests_are_judged_like_small_ones() {
    let mut large = pod();
    large["metadata"]["annotations"] = json!({ "large": "x".repeat(1 << 20) });
    let answer = review(&create("", "Pod", &large), &json!({}));
    assert_eq!(answer.mutated()["spec"]["imagePullSecrets"], refs(&[OURS]));

    let names: Vec<String> = (0..10_000).map(|at| format!("secret-{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = pod_with(&names);
    review(&create("", "Pod", &many), &json!({})).is_refused(403);
    let answer = review(&create("", "Pod", &many), &json!({ "manualPullSecrets": { "pods": "merge" } }));
    assert_eq!(answer.mutated()["spec"]["imagePullSecrets"].as_array().unwrap().len(), 10_001);

    let workload =
        |names: &[&str]| json!({ "spec": { "template": { "spec": { "imagePullSecrets": refs(names) } } } });
    let reversed: Vec<&str> = names.iter().rev().copied().collect();
    review(&update("apps", "Deployment", &workload(&names), &workload(&reversed)), &json!({})).is_untouched();
}

#[test]
fn wrong_settings_are_told_apart_from_wrong_requests() {
    let answer = review(&create("", "Pod", &pod()), &json!({ "namespace": [] }));
    assert_eq!(
        answer.is_refused(500),
        "wrong settings: namespace: unknown setting; did you mean \"namespaces\"?"
    );
}

#[test]
fn names_that_would_break_the_line_do_not() {
    let answer = review(&create("", "Pod", &pod_with(&["a\nb\u{7}"])), &json!({}));
    assert!(answer.is_refused(403).contains("lists \"a�b�\""));
}
