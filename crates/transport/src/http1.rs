//! HTTP/1.1: one exchange at a time on a connection, driven by the task that wants the answer.
//!
//! hyper's usual form has a task per connection, to which requests and from which answers travel through channels and wake-ups.
//! Here the sender polls the connection itself: no task, no wake-up. An idle connection is not polled at all; hyper looks for
//! its end before it writes the next request, and the sweep of the pool looks from time to time.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hookpost_domain::limits;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::client::{AnswerBody, Unsent};
use crate::stream::Stream;

pub(crate) struct Http1Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    connection: Option<Pin<Box<Connection>>>,
}

type Connection = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

impl Http1Connection {
    pub(crate) async fn handshake(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) =
            http1::Builder::new().max_header_size(limits::RESPONSE_HEADERS_BYTES_READ_MAX).handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, connection: Some(Box::pin(connection)) })
    }

    /// The request has a `host` header, and a path as its URI.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Unsent> {
        let mut response = pin!(self.sender.try_send_request(request));
        let connection = &mut self.connection;
        poll_fn(|cx| {
            drive(connection, cx);
            response.as_mut().poll(cx)
        })
        .await
        .map_err(Unsent::from)
    }

    /// `Ok(true)`: to its end.
    pub(crate) async fn read_body(&mut self, mut body: Incoming, into: &mut AnswerBody) -> hyper::Result<bool> {
        while !body.is_end_stream() {
            let frame = poll_fn(|cx| {
                drive(&mut self.connection, cx);
                Pin::new(&mut body).poll_frame(cx)
            })
            .await;
            match frame {
                None => break,
                Some(frame) => {
                    if let Some(data) = frame?.data_ref()
                        && into.push(data).is_break()
                    {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// After an answer was read to its end: whether another request may follow.
    pub(crate) async fn settle(&mut self) -> bool {
        poll_fn(|cx| {
            drive(&mut self.connection, cx);
            Poll::Ready(self.connection.is_some() && self.sender.is_ready())
        })
        .await
    }

    /// For idle connections: whether the receiver has not closed it meanwhile.
    pub(crate) fn is_alive(&mut self) -> bool {
        drive(&mut self.connection, &mut Context::from_waker(Waker::noop()));
        self.connection.is_some()
    }
}

/// Whoever waits for an answer hears of a failure by the answer, so the result of the connection itself is not needed.
fn drive(connection: &mut Option<Pin<Box<Connection>>>, cx: &mut Context<'_>) {
    if let Some(running) = connection
        && running.as_mut().poll(cx).is_ready()
    {
        *connection = None;
    }
}

impl std::fmt::Debug for Http1Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http1Connection").field("open", &self.connection.is_some()).finish()
    }
}
