"""Read archives in place: ZIP, TAR, 7-Zip, and e-mails with attachments."""
