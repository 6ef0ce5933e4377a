-- wrk's numbers as one line of JSON.
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format('\nwrk-json {"requests": %d, "bytes": %d, "failed": %d}\n', summary.requests, summary.bytes,
        e.connect + e.read + e.write + e.status + e.timeout))
end
