use std::sync::{Arc, Mutex};

use kube::core::Status;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::advance;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A Lease in memory, with the API server's rule about versions.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    lease: Option<Lease>,
    version: u32,
    /// Whom the API server does not answer.
    cut_off: Vec<&'static str>,
    /// How long a call takes of one who is cut off, before it fails.
    hangs: Duration,
    /// How many of these calls there were.
    failed: usize,
}

/// The way of one replica to the Lease.
#[derive(Debug)]
struct Way {
    memory: Memory,
    who: &'static str,
}

fn refusal(code: u16) -> kube::Error {
    kube::Error::Api(Status::failure("no", "No").with_code(code).boxed())
}

impl Memory {
    fn holder(&self) -> Option<String> {
        let contents = self.0.lock().unwrap();
        contents.lease.as_ref().and_then(holder).map(str::to_owned)
    }

    fn cut_off(&self, who: &[&'static str]) {
        self.0.lock().unwrap().cut_off = who.to_vec();
    }

    fn write(&self, change: impl FnOnce(&mut Lease)) -> Lease {
        let mut contents = self.0.lock().unwrap();
        contents.version += 1;
        let mut lease = contents.lease.clone().unwrap_or_default();
        change(&mut lease);
        lease.metadata.resource_version = Some(contents.version.to_string());
        contents.lease = Some(lease.clone());
        lease
    }

    fn start(&self, who: &'static str) -> Replica {
        let way = Way { memory: self.clone(), who };
        let election = Election::at(way, who, Timing::default(), Box::new(|_, _| ()));
        let leads = election.subscribe();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            election.run(stopped).await
        });
        Replica { leads, stop: Some(stop), task }
    }
}

impl Way {
    async fn check(&self) -> Result<(), kube::Error> {
        let hangs = {
            let mut contents = self.memory.0.lock().unwrap();
            if !contents.cut_off.contains(&self.who) {
                return Ok(());
            }
            contents.failed += 1;
            contents.hangs
        };
        if !hangs.is_zero() {
            sleep(hangs).await;
        }
        Err(refusal(503))
    }
}

impl Store for Way {
    async fn get(&self) -> Result<Option<Lease>, kube::Error> {
        self.check().await?;
        Ok(self.memory.0.lock().unwrap().lease.clone())
    }

    async fn create(&self, spec: &LeaseSpec) -> Result<Lease, kube::Error> {
        self.check().await?;
        if self.memory.0.lock().unwrap().lease.is_some() {
            return Err(refusal(409));
        }
        Ok(self.memory.write(|lease| lease.spec = Some(spec.clone())))
    }

    async fn replace(&self, version: &str, spec: &LeaseSpec) -> Result<Lease, kube::Error> {
        self.check().await?;
        match &self.memory.0.lock().unwrap().lease {
            None => return Err(refusal(404)),
            Some(lease) if lease.metadata.resource_version.as_deref() != Some(version) => {
                return Err(refusal(409));
            }
            Some(_) => {}
        }
        Ok(self.memory.write(|lease| lease.spec = Some(spec.clone())))
    }
}

struct Replica {
    leads: watch::Receiver<bool>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Lost>>,
}

impl Replica {
    fn leads(&self) -> bool {
        *self.leads.borrow()
    }

    async fn stop(&mut self) {
        drop(self.stop.take());
        assert_eq!((&mut self.task).await.unwrap(), Ok(()));
    }
}

/// Lets time pass in small steps, and looks after each of them.
async fn pass(time: Duration, mut look: impl FnMut()) {
    for _ in 0..time.as_millis() / 100 {
        advance(Duration::from_millis(100)).await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        look();
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_two_leads_and_the_other_waits() {
    let memory = Memory::default();
    let (one, two) = (memory.start("one"), memory.start("two"));
    pass(120 * SECOND, || assert!(one.leads() != two.leads())).await;
    assert_eq!(memory.holder().as_deref(), Some("one"));
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_up_at_the_next_look() {
    let memory = Memory::default();
    let mut one = memory.start("one");
    pass(SECOND, || ()).await;
    let two = memory.start("two");
    pass(30 * SECOND, || assert!(!two.leads())).await;
    one.stop().await;
    assert!(!one.leads());
    assert_eq!(memory.holder(), None);
    pass(3 * SECOND, || ()).await;
    assert!(two.leads());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_another_begins() {
    let memory = Memory::default();
    let one = memory.start("one");
    pass(SECOND, || ()).await;
    let two = memory.start("two");
    pass(6 * SECOND, || ()).await;
    memory.cut_off(&["one"]);
    pass(30 * SECOND, || assert!(!(one.leads() && two.leads()))).await;
    assert!(two.leads());
    assert_eq!(one.task.await.unwrap(), Err(Lost::NotRenewed(10 * SECOND)));
}

#[tokio::test(start_paused = true)]
async fn a_leader_outlives_six_seconds_without_an_api_server_whenever_they_begin() {
    let memory = Memory::default();
    let one = memory.start("one");
    for phase in 0..20 {
        pass(20 * SECOND + phase * SECOND / 10, || assert!(one.leads())).await;
        memory.cut_off(&["one"]);
        pass(6 * SECOND, || assert!(one.leads())).await;
        memory.cut_off(&[]);
    }
    pass(20 * SECOND, || assert!(one.leads())).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_calls_hang_outlives_four_seconds_whenever_they_begin() {
    for hangs in [SECOND, 2 * SECOND, 3 * SECOND, CALL_LIMIT, 30 * SECOND] {
        let memory = Memory::default();
        memory.0.lock().unwrap().hangs = hangs;
        let one = memory.start("one");
        for phase in 0..20 {
            pass(20 * SECOND + phase * SECOND / 10, || assert!(one.leads())).await;
            memory.cut_off(&["one"]);
            pass(4 * SECOND, || assert!(one.leads(), "{hangs:?} {phase}")).await;
            memory.cut_off(&[]);
        }
        pass(20 * SECOND, || assert!(one.leads(), "{hangs:?}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_calls_hang_has_two_tries_before_it_stops() {
    let memory = Memory::default();
    memory.0.lock().unwrap().hangs = 2 * SECOND;
    let one = memory.start("one");
    pass(21 * SECOND, || assert!(one.leads())).await;
    memory.cut_off(&["one"]);
    pass(12 * SECOND, || ()).await;
    assert_eq!(one.task.await.unwrap(), Err(Lost::NotRenewed(10 * SECOND)));
    assert_eq!(memory.0.lock().unwrap().failed, 2);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_leader_finds_that_it_lost_and_writes_nothing() {
    let memory = Memory::default();
    let one = memory.start("one");
    pass(SECOND, || ()).await;
    // Nothing of this process runs meanwhile.
    memory.write(|lease| lease.spec.as_mut().unwrap().holder_identity = Some("two".to_owned()));
    advance(60 * SECOND).await;
    assert_eq!(one.task.await.unwrap(), Err(Lost::NotRenewed(10 * SECOND)));
    assert_eq!(memory.holder().as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_was_taken_ends_and_names_who_has_it() {
    let memory = Memory::default();
    let one = memory.start("one");
    pass(SECOND, || ()).await;
    memory.write(|lease| lease.spec.as_mut().unwrap().holder_identity = Some("two".to_owned()));
    pass(6 * SECOND, || ()).await;
    assert!(!one.leads());
    assert_eq!(one.task.await.unwrap(), Err(Lost::To("two".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_labels_is_kept() {
    let memory = Memory::default();
    let one = memory.start("one");
    pass(SECOND, || ()).await;
    memory.write(|lease| {
        lease.metadata.labels = Some([("seen".to_owned(), "yes".to_owned())].into());
    });
    pass(30 * SECOND, || assert!(one.leads())).await;
}

#[tokio::test(start_paused = true)]
async fn a_time_that_another_machine_wrote_is_not_believed() {
    let memory = Memory::default();
    memory.write(|lease| {
        lease.spec = Some(LeaseSpec {
            holder_identity: Some("other".to_owned()),
            // Hours ago by this machine's clock.
            renew_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        });
    });
    let one = memory.start("one");
    for _ in 0..4 {
        pass(10 * SECOND, || assert!(!one.leads())).await;
        // The other one renews, with the same wrong clock.
        memory.write(|_| ());
    }
    pass(20 * SECOND, || ()).await;
    assert!(one.leads(), "the other has not renewed for 15 s");
}

#[tokio::test(start_paused = true)]
async fn what_restarted_takes_its_own_lease_up_at_once() {
    let memory = Memory::default();
    memory.write(|lease| {
        lease.spec = Some(LeaseSpec { holder_identity: Some("one".to_owned()), ..LeaseSpec::default() });
    });
    let one = memory.start("one");
    pass(SECOND, || ()).await;
    assert!(one.leads());
}
