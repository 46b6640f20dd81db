//! Which namespace is looked at next.
//!
//! Each namespace stands in the queue once, is worked on once at a time, and has one alarm at most. Three urgencies keep
//! people from waiting for a rotation: part of the slots is kept from it, and what is more urgent always goes first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

/// How urgent a look at a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// What is there still works.
    Rotation,
    /// There is no pull secret yet.
    FirstFill,
    /// Something happened in this namespace.
    Event,
}

const URGENCIES: [Urgency; 3] = [Urgency::Event, Urgency::FirstFill, Urgency::Rotation];

/// The queue.
#[derive(Debug)]
pub struct Queue {
    slots: usize,
    /// Slots that rotations may take.
    slots_for_rotation: usize,
    waiting: HashMap<Arc<str>, Urgency>,
    /// One for each of [`URGENCIES`]. Names whose urgency has grown since stand in two of them; `waiting` is right.
    lines: [VecDeque<Arc<str>>; 3],
    running: HashMap<Arc<str>, Running>,
    running_rotations: usize,
    /// `alarms` is right where the two differ.
    timers: BinaryHeap<Reverse<(Instant, Arc<str>)>>,
    alarms: HashMap<Arc<str>, Instant>,
}

#[derive(Debug)]
struct Running {
    urgency: Urgency,
    again: Option<Urgency>,
}

impl Queue {
    /// An empty queue, of which so many namespaces at most are worked on at a time; at least two.
    pub fn new(slots: usize) -> Self {
        let slots = slots.max(2);
        Self {
            slots,
            slots_for_rotation: slots - (slots / 4).max(1),
            waiting: HashMap::new(),
            lines: Default::default(),
            running: HashMap::new(),
            running_rotations: 0,
            timers: BinaryHeap::new(),
            alarms: HashMap::new(),
        }
    }

    /// Puts a namespace into the queue, or moves it forward in it. One that is being worked on is looked at again when
    /// that is done.
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
        if let Some(line) = self.lines.get_mut(line_of(urgency)) {
            line.push_back(Arc::clone(namespace));
        }
    }

    /// Takes the next namespace out of the queue, if there is a slot for it. Work on it begins, until [`Self::done`].
    pub fn pop(&mut self) -> Option<(Arc<str>, Urgency)> {
        for urgency in URGENCIES {
            let is_free = self.running.len() < self.slots
                && (urgency != Urgency::Rotation || self.running_rotations < self.slots_for_rotation);
            if !is_free {
                return None;
            }
            let Some(line) = self.lines.get_mut(line_of(urgency)) else { continue };
            while let Some(namespace) = line.pop_front() {
                if self.waiting.get(&namespace) == Some(&urgency) {
                    self.waiting.remove(&namespace);
                    self.running_rotations += usize::from(urgency == Urgency::Rotation);
                    self.running.insert(Arc::clone(&namespace), Running { urgency, again: None });
                    return Some((namespace, urgency));
                }
            }
        }
        None
    }

    /// Work on a namespace has ended.
    pub fn done(&mut self, namespace: &Arc<str>) {
        if let Some(Running { urgency, again }) = self.running.remove(namespace) {
            self.running_rotations -= usize::from(urgency == Urgency::Rotation);
            if let Some(urgency) = again {
                self.push(namespace, urgency);
            }
        }
    }

    /// Sets the alarm of a namespace, or takes it away.
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

    /// When the next alarm rings.
    pub fn next_alarm(&mut self) -> Option<Instant> {
        while let Some(Reverse((at, namespace))) = self.timers.peek() {
            if self.alarms.get(namespace) == Some(at) {
                return Some(*at);
            }
            self.timers.pop();
        }
        None
    }

    /// The next namespace whose alarm has rung.
    pub fn rung(&mut self, now: Instant) -> Option<Arc<str>> {
        if self.next_alarm()? > now {
            return None;
        }
        let Reverse((_, namespace)) = self.timers.pop()?;
        self.alarms.remove(&namespace);
        Some(namespace)
    }

    /// Namespaces that wait for a slot.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no namespace waits or is worked on. Alarms do not count.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }
}

fn line_of(urgency: Urgency) -> usize {
    match urgency {
        Urgency::Event => 0,
        Urgency::FirstFill => 1,
        Urgency::Rotation => 2,
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
    fn what_is_urgent_goes_first_and_a_rotation_never_takes_all_slots() {
        let mut queue = Queue::new(4);
        for at in 0..10 {
            queue.push(&name(&format!("old-{at}")), Urgency::Rotation);
        }
        check_order(&mut queue, &["old-0", "old-1", "old-2"]);
        queue.push(&name("filled"), Urgency::FirstFill);
        queue.push(&name("new"), Urgency::Event);
        check_order(&mut queue, &["new"]);
        queue.done(&name("new"));
        check_order(&mut queue, &["filled"]);
        queue.done(&name("old-0"));
        queue.done(&name("filled"));
        check_order(&mut queue, &["old-3"]);
    }

    #[test]
    fn a_namespace_stands_in_the_queue_once_and_moves_forward() {
        let mut queue = Queue::new(16);
        queue.push(&name("a"), Urgency::Rotation);
        queue.push(&name("b"), Urgency::FirstFill);
        queue.push(&name("a"), Urgency::Event);
        queue.push(&name("a"), Urgency::Rotation);
        assert_eq!(queue.len(), 2);
        check_order(&mut queue, &["a", "b"]);
    }

    #[test]
    fn a_namespace_is_worked_on_once_at_a_time() {
        let mut queue = Queue::new(16);
        queue.push(&name("a"), Urgency::Event);
        assert!(queue.pop().is_some());
        queue.push(&name("a"), Urgency::Rotation);
        queue.push(&name("a"), Urgency::Event);
        assert!(queue.pop().is_none() && !queue.is_empty());
        queue.done(&name("a"));
        assert_eq!(queue.pop(), Some((name("a"), Urgency::Event)));
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
