"""What probes collect of batches and make of it: parts of one probe, or shared by several."""
