-- What a change wanted and did not get is kept once, as a revision, where a seal or a purge finds it.
UPDATE operations SET answer = json_remove(answer, '$.lost') WHERE answer ->> '$.lost' IS NOT NULL;
-- What was sealed before it was sent is sent as it is now.
UPDATE pending_ops SET payload = NULL WHERE op = 'store' AND memory IN (SELECT id FROM memories WHERE sensitive);
