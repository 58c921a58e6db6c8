-- What was canceled while a node held it: the reason, and whether that node has heard. The row stays until the lease ends.
ALTER TABLE hookpost.queue
    ADD COLUMN recalled smallint,
    ADD COLUMN recall_heard boolean NOT NULL DEFAULT false;
