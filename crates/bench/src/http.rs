//! One HTTP/1.1 connection of a client, driven by the task that uses it, so that the harness costs as little as it can.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Context;

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Option<Driver>,
}

type Driver = Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>;

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: Some(Box::pin(connection)) })
    }

    /// The request needs its `host`.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        let driver = &mut self.driver;
        let mut response = pin!(self.sender.send_request(request));
        let response = poll_fn(|cx| {
            drive(driver, cx);
            response.as_mut().poll(cx)
        })
        .await?;
        let status = response.status();
        let body = self.read(response.into_body()).await?;
        // Until the connection has noticed the end of the answer it takes no other request.
        poll_fn(|cx| {
            drive(&mut self.driver, cx);
            if self.driver.is_none() { std::task::Poll::Ready(Ok(())) } else { self.sender.poll_ready(cx) }
        })
        .await?;
        Ok((status, body))
    }

    async fn read(&mut self, mut body: Incoming) -> Result<Bytes> {
        let mut whole = BytesMut::new();
        while !body.is_end_stream() {
            let frame = poll_fn(|cx| {
                drive(&mut self.driver, cx);
                Pin::new(&mut body).poll_frame(cx)
            })
            .await;
            match frame {
                Some(frame) => {
                    if let Some(data) = frame?.data_ref() {
                        whole.extend_from_slice(data);
                    }
                }
                None => break,
            }
        }
        Ok(whole.freeze())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.driver.is_some()
    }
}

fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if let Some(running) = driver
        && running.as_mut().poll(cx).is_ready()
    {
        *driver = None;
    }
}
