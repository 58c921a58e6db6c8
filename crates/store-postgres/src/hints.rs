//! What other nodes did: asked for once in a while, and sooner after a NOTIFY. Notifications are sent by a task of their own, never in the transaction they
//! are about: a NOTIFY at commit makes all commits of the database wait for each other.
