//! Claims: `FOR UPDATE SKIP LOCKED` over the queue of one endpoint, in its order.
