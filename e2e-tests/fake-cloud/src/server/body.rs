//! A body that comes as a fault has it: at once, byte by byte, or not to its end.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tokio::time::Sleep;

use crate::message::Delivery;

/// The body.
pub(super) struct Paced {
    pieces: VecDeque<Bytes>,
    pause: Option<Duration>,
    sleep: Option<Pin<Box<Sleep>>>,
    breaks_off: bool,
}

impl Paced {
    pub(super) fn new(body: Vec<u8>, delivery: Delivery) -> Self {
        let (pieces, pause, breaks_off) = match delivery {
            Delivery::Slow(pause) => {
                (body.into_iter().map(|byte| Bytes::from(vec![byte])).collect(), Some(pause), false)
            }
            Delivery::Truncated(bytes) => {
                let kept = body.into_iter().take(bytes).collect::<Vec<u8>>();
                // What was written is sent while the body waits; without a pause, nothing of it would be.
                (VecDeque::from([Bytes::from(kept)]), Some(Duration::from_millis(1)), true)
            }
            Delivery::Whole | Delivery::Late(_) | Delivery::Reset | Delivery::Stall => {
                (VecDeque::from([Bytes::from(body)]), None, false)
            }
        };
        Self { pieces, pause, sleep: None, breaks_off }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(sleep) = &mut self.sleep {
            std::task::ready!(sleep.as_mut().poll(context));
            self.sleep = None;
        }
        match self.pieces.pop_front() {
            Some(piece) => {
                self.sleep = self.pause.map(|pause| Box::pin(tokio::time::sleep(pause)));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None if self.breaks_off => Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into()))),
            None => Poll::Ready(None),
        }
    }
}
