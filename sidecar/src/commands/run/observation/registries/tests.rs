use std::sync::Mutex;

use serde_json::Value;

use super::*;
use crate::broker::mint_once;
use crate::broker::testing::{FakeCloud, SECOND, TestClock, registry};
use crate::telemetry::events;
use crate::telemetry::testing::api_server;

/// Registries of three instances that discover these hosts.
async fn snapshot(hosts: [&[&'static str]; 3]) -> Arc<Snapshot> {
    const INSTANCES: [&str; 3] = ["cri-one", "cri-two", "cri-three"];
    let cloud = FakeCloud::new();
    cloud.script().hosts.extend(INSTANCES.into_iter().zip(hosts.map(<[_]>::to_vec)));
    let registries = INSTANCES.map(|instance| registry(instance, &[]));
    mint_once(Arc::new(cloud), Arc::new(TestClock::new()), registries.into()).await
}

#[tokio::test(start_paused = true)]
async fn a_note_names_the_hosts_of_a_pair_of_registries_and_the_way_out() {
    let notes = disputes_in(
        &*snapshot([
            &["a.example.com", "b.example.com", "c.example.com", "d.example.com", "e.example.com"],
            &["e.example.com", "d.example.com", "c.example.com", "b.example.com", "a.example.com"],
            &["a.example.com"],
        ])
        .await,
    );
    assert_eq!(
        notes,
        [
            "registry of cri-two: a.example.com, b.example.com, c.example.com, 2 more also belong to registry of cri-one, \
             which comes first and gets them: list the hosts of each in domains, or give them different namespaces",
            "registry of cri-three: a.example.com also belongs to registry of cri-one, which comes first and gets it: \
             list the hosts of each in domains, or give them different namespaces",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_disputed_host_is_one_event_for_each_change() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let client = api_server({
        let written = Arc::clone(&written);
        move |_, _, event| {
            let text =
                |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let what = [text("/reason"), text("/regarding/kind"), text("/regarding/name"), text("/note")];
            written.lock().unwrap().push(what.join(" "));
            (201, event)
        }
    });
    let metrics = Arc::new(Metrics::new());
    let (events, recorder) = events::channel(client, "sidecar-0".to_owned(), Arc::clone(&metrics));
    tokio::spawn(recorder.run());
    let (show, snapshots) = watch::channel(Arc::default());
    let (_lead, leading) = watch::channel(true);
    let about = Regarding::config_map("kube-system", "acr-configuration");
    tokio::spawn(super::watch(snapshots, leading, about, Health::new(), Arc::clone(&metrics), events));

    let settled: [&[&str]; 3] = [&["a.example.com"], &["b.example.com"], &["c.example.com"]];
    let disputed: [&[&str]; 3] = [&["a.example.com"], &["a.example.com"], &["c.example.com"]];
    let more: [&[&str]; 3] = [&["a.example.com"], &["a.example.com"], &["a.example.com"]];
    for hosts in [settled, disputed, disputed, more, settled] {
        show.send_replace(snapshot(hosts).await);
        tokio::time::sleep(SECOND).await;
    }
    let note = |registry: &str| {
        format!(
            "HostDisputed ConfigMap acr-configuration registry of {registry}: a.example.com also belongs to registry of \
             cri-one, which comes first and gets it: list the hosts of each in domains, or give them different namespaces"
        )
    };
    assert_eq!(*written.lock().unwrap(), [note("cri-two"), note("cri-three")]);
    let page = metrics.render().unwrap();
    assert!(!page.contains("result=\"repeated\""), "it was said again\n{page}");
}
