//! Decides which namespace is planned next.
//!
//! Each namespace is in the queue once, only one task works on it at a time, and it has at most one alarm. Urgent work goes
//! before work that can wait, such as a rotation, and a quarter of the slots is kept for urgent work: without that, a new
//! namespace waits a quarter longer while a rotation runs.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

/// How urgent it is to plan for a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// The existing pull secret still works.
    CanWait,
    /// Something happened in this namespace, or there is no pull secret yet.
    Awaited,
}

/// The queue.
#[derive(Debug)]
pub struct Queue {
    slots: usize,
    /// Slots for work that can wait.
    slots_that_wait: usize,
    waiting: HashMap<Arc<str>, Urgency>,
    /// Urgent namespaces. A name whose urgency has grown is in both lanes; `waiting` is right.
    awaited: VecDeque<Arc<str>>,
    can_wait: VecDeque<Arc<str>>,
    running: HashMap<Arc<str>, Running>,
    /// How many of them could have waited.
    running_that_wait: usize,
    /// If this differs from `alarms`, `alarms` is right.
    timers: BinaryHeap<Reverse<(Instant, Arc<str>)>>,
    alarms: HashMap<Arc<str>, Instant>,
}

#[derive(Debug)]
struct Running {
    urgency: Urgency,
    /// How urgent it is to plan again when the work is done.
    again: Option<Urgency>,
}

impl Queue {
    /// Creates an empty queue. At most this many namespaces are worked on at a time; at least two.
    pub fn new(slots: usize) -> Self {
        let slots = slots.max(2);
        Self {
            slots,
            slots_that_wait: slots - (slots / 4).max(1),
            running_that_wait: 0,
            waiting: HashMap::new(),
            awaited: VecDeque::new(),
            can_wait: VecDeque::new(),
            running: HashMap::new(),
            timers: BinaryHeap::new(),
            alarms: HashMap::new(),
        }
    }

    /// Puts a namespace into the queue, or moves it forward. A namespace that is being worked on is planned again when that work
    /// is done.
    pub fn push(&mut self, namespace: &Arc<str>, urgency: Urgency) {
        if let Some(running) = self.running.get_mut(namespace) {
            running.again = running.again.max(Some(urgency));
            return;
        }
        match self.waiting.get_mut(namespace) {
            Some(known) if *known >= urgency => return,
            Some(known) => *known = urgency,
            None => {
                self.waiting.insert(Arc::clone(namespace), urgency);
            }
        }
        let lane = if urgency == Urgency::Awaited { &mut self.awaited } else { &mut self.can_wait };
        lane.push_back(Arc::clone(namespace));
    }

    /// Takes the next namespace out of the queue, if there is a slot for it. Work on it begins, and lasts until [`Self::done`].
    pub fn pop(&mut self) -> Option<(Arc<str>, Urgency)> {
        if self.running.len() >= self.slots {
            return None;
        }
        let may_wait = self.running_that_wait < self.slots_that_wait;
        for (lane, urgency, is_free) in
            [(&mut self.awaited, Urgency::Awaited, true), (&mut self.can_wait, Urgency::CanWait, may_wait)]
        {
            if !is_free {
                return None;
            }
            while let Some(namespace) = lane.pop_front() {
                if self.waiting.get(&namespace) == Some(&urgency) {
                    self.waiting.remove(&namespace);
                    self.running_that_wait += usize::from(urgency == Urgency::CanWait);
                    self.running.insert(Arc::clone(&namespace), Running { urgency, again: None });
                    return Some((namespace, urgency));
                }
            }
        }
        None
    }

    /// Records that the work on a namespace has ended.
    pub fn done(&mut self, namespace: &Arc<str>) {
        if let Some(Running { urgency, again }) = self.running.remove(namespace) {
            self.running_that_wait -= usize::from(urgency == Urgency::CanWait);
            if let Some(urgency) = again {
                self.push(namespace, urgency);
            }
        }
    }

    /// Sets or removes the alarm of a namespace.
    pub fn set_alarm(&mut self, namespace: &Arc<str>, at: Option<Instant>) {
        match at {
            Some(at) => {
                if self.alarms.insert(Arc::clone(namespace), at) != Some(at) {
                    self.timers.push(Reverse((at, Arc::clone(namespace))));
                }
            }
            None => {
                self.alarms.remove(namespace);
            }
        }
    }

    /// Returns when the next alarm is due.
    pub fn next_alarm(&mut self) -> Option<Instant> {
        while let Some(Reverse((at, namespace))) = self.timers.peek() {
            if self.alarms.get(namespace) == Some(at) {
                return Some(*at);
            }
            self.timers.pop();
        }
        None
    }

    /// Returns the next namespace whose alarm is due.
    pub fn rung(&mut self, now: Instant) -> Option<Arc<str>> {
        if self.next_alarm()? > now {
            return None;
        }
        let Reverse((_, namespace)) = self.timers.pop()?;
        self.alarms.remove(&namespace);
        Some(namespace)
    }

    /// Returns the number of namespaces that wait for a slot.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns whether no namespace waits or is worked on. Alarms do not count.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    #[track_caller]
    fn check_order(queue: &mut Queue, expected: &[&str]) {
        let popped: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(name, _)| name.to_string()).collect();
        assert_eq!(popped, expected);
    }

    #[test]
    fn what_is_awaited_goes_first_and_a_rotation_never_takes_all_slots() {
        let mut queue = Queue::new(4);
        for at in 0..10 {
            queue.push(&name(&format!("old-{at}")), Urgency::CanWait);
        }
        check_order(&mut queue, &["old-0", "old-1", "old-2"]);
        queue.push(&name("filled"), Urgency::Awaited);
        queue.push(&name("new"), Urgency::Awaited);
        check_order(&mut queue, &["filled"]);
        queue.done(&name("filled"));
        check_order(&mut queue, &["new"]);
        queue.done(&name("old-0"));
        queue.done(&name("new"));
        check_order(&mut queue, &["old-3"]);
    }

    #[test]
    fn a_namespace_is_in_the_queue_once_and_moves_forward() {
        let mut queue = Queue::new(16);
        queue.push(&name("b"), Urgency::CanWait);
        queue.push(&name("a"), Urgency::CanWait);
        queue.push(&name("a"), Urgency::Awaited);
        queue.push(&name("a"), Urgency::CanWait);
        assert_eq!(queue.len(), 2);
        check_order(&mut queue, &["a", "b"]);
    }

    #[test]
    fn a_namespace_is_worked_on_once_at_a_time() {
        let mut queue = Queue::new(16);
        queue.push(&name("a"), Urgency::Awaited);
        assert!(queue.pop().is_some());
        queue.push(&name("a"), Urgency::CanWait);
        queue.push(&name("a"), Urgency::Awaited);
        assert!(queue.pop().is_none() && !queue.is_empty());
        queue.done(&name("a"));
        assert_eq!(queue.pop(), Some((name("a"), Urgency::Awaited)));
        queue.done(&name("a"));
        assert!(queue.is_empty());
    }

    #[test]
    fn an_alarm_rings_once_and_the_last_one_set_counts() {
        let (mut queue, now) = (Queue::new(4), Instant::now());
        let after = |seconds| Some(now + Duration::from_secs(seconds));
        queue.set_alarm(&name("a"), after(10));
        queue.set_alarm(&name("a"), after(20));
        queue.set_alarm(&name("b"), after(5));
        queue.set_alarm(&name("b"), None);
        assert_eq!(queue.next_alarm(), after(20));
        assert_eq!(queue.rung(now + Duration::from_secs(19)), None);
        assert_eq!(queue.rung(now + Duration::from_secs(20)), Some(name("a")));
        assert_eq!(queue.next_alarm(), None);
    }
}
