"""What is kept: the journal and its anchors, snapshots, blobs, the SQL ledger and the commands of other processes."""
