use std::sync::{Arc, Mutex};

use super::*;
use crate::operations::testing::{api_server, refusal};

const OURS: &str = "acr-credential-secret-aggregation";

#[tokio::test]
async fn an_entry_that_somebody_adds_meanwhile_is_never_lost() {
    let list = Arc::new(Mutex::new(vec!["mine", OURS, "b"]));
    let stored = Arc::clone(&list);
    let mut version = 1;
    let client = api_server(move |method, _, body| {
        let mut list = stored.lock().unwrap();
        if method == "GET" {
            let entries: Vec<_> = list.iter().map(|name| json!({ "name": name })).collect();
            let metadata = json!({ "name": "default", "resourceVersion": version.to_string() });
            return (200, json!({ "metadata": metadata, "imagePullSecrets": entries }));
        }
        // Right before our first write.
        if version == 1 {
            list.push("theirs");
            version = 2;
        }
        let current = version.to_string();
        if body["metadata"]["resourceVersion"].as_str() != Some(&*current) {
            return refusal(409);
        }
        let names: Vec<_> = body["imagePullSecrets"].as_array().unwrap().iter().collect();
        list.retain(|name| names.iter().any(|entry| entry["name"] == *name));
        (200, json!({ "metadata": { "name": "default" } }))
    });
    let account = Account { namespace: "team-a".to_owned(), name: "default".to_owned() };
    take_off(&client, &account, OURS).await.unwrap();
    assert_eq!(*list.lock().unwrap(), ["mine", "b", "theirs"]);
}

#[tokio::test]
async fn a_secret_that_changed_since_it_was_looked_at_is_left_alone() {
    let client = api_server(|method, _, body| {
        assert_eq!(method, "DELETE");
        assert_eq!(body["preconditions"], json!({ "uid": "u-1", "resourceVersion": "7" }));
        refusal(409)
    });
    let exactly = Preconditions { uid: Some("u-1".to_owned()), resource_version: Some("7".to_owned()) };
    let problem = delete::<Secret>(&client, "team-a", OURS, exactly).await.unwrap_err();
    assert!(problem.starts_with("left alone, since it was changed meanwhile"), "{problem}");
}
