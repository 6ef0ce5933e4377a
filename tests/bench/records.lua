-- tests/bench/records.lua - what wrk asks of the record service: wrk ... -s records.lua -- KIND PATIENTS PER_PATIENT
-- KIND: create, read, search, import (with BUNDLES, a file of JSON lines). One line of JSON says what happened.
local kind, patients, each, at = "read", 1, 1, 0
local codes, bundles = {"8867-4", "8480-6", "8462-4", "29463-7", "8302-2", "2339-0", "718-7", "2093-3"}, {}
local threads, wrong = {}, 0
local json = {["Content-Type"] = "application/fhir+json", ["Prefer"] = "return=minimal"}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  kind, patients, each = args[1], tonumber(args[2]), tonumber(args[3])
  math.randomseed(number + 7)
  if kind == "import" then
    local from = 0
    for line in io.lines(args[4]) do
      if from % tonumber(args[5]) == number then table.insert(bundles, line) end
      from = from + 1
    end
  end
end

local function observation(patient, code, value)
  return '{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":' ..
    '"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs","display":"vital-signs"}]}],' ..
    '"code":{"coding":[{"system":"http://loinc.org","code":"' .. code .. '","display":"Measured"}],"text":"Measured"},' ..
    '"subject":{"reference":"Patient/p' .. patient .. '"},"effectiveDateTime":"2026-03-01T09:41:07+01:00",' ..
    '"issued":"2026-03-01T09:41:07.123+01:00","valueQuantity":{"value":' .. value ..
    ',"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}'
end

function request()
  local patient = math.random(patients)
  if kind == "create" then
    return wrk.format("POST", "/noord/fhir/Observation", json, observation(patient, codes[math.random(8)], math.random(200)))
  elseif kind == "read" then
    return wrk.format("GET", "/noord/fhir/Observation/o" .. patient .. "-" .. math.random(each))
  elseif kind == "search" then
    return wrk.format("GET", "/noord/fhir/Observation?patient=Patient/p" .. patient .. "&code=http://loinc.org|" ..
      codes[math.random(8)])
  end
  at = at + 1
  return wrk.format("POST", "/noord/fhir", json, bundles[(at - 1) % #bundles + 1])
end

function response(status)
  if status ~= 200 and status ~= 201 then wrong = wrong + 1 end
end

function done(summary, latency)
  local bad = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  for _, thread in ipairs(threads) do bad = bad + (thread:get("wrong") or 0) end
  io.write(string.format('{"requests":%d,"us":%d,"bad":%d,"p50_us":%d,"p99_us":%d,"bytes":%d}\n', summary.requests,
    summary.duration, bad, latency:percentile(50), latency:percentile(99), summary.bytes))
end
