// @ts-check
/** The demo's switch: what the emulated cluster says to more memory. */

const answers = [
  ['none', 'Granted', 'The node has room.'],
  ['deferred', 'Node full', 'Other pods fill the node: the kubelet defers what is asked for.'],
  ['infeasible', 'Node too small', 'The node could never hold more: infeasible.'],
  ['quota', 'Quota used up', 'The namespace’s quota refuses every larger request.'],
]

const panel = document.createElement('form')
panel.className = 'demo'
const question = document.createElement('p')
question.textContent = 'Demo: when Stoker asks for more memory, the cluster says'
panel.append(question)
for (const [value = '', name = '', title = ''] of answers) {
  const label = document.createElement('label')
  const input = document.createElement('input')
  Object.assign(input, { type: 'radio', name: 'refusal', value })
  label.title = title
  label.append(input, name)
  panel.append(label)
}
const note = document.createElement('p')
note.className = 'quiet'
panel.append(note)
panel.addEventListener('change', () => {
  const chosen = new FormData(panel).get('refusal')
  void settle({ method: 'POST', body: JSON.stringify({ refusal: chosen }) })
})
document.querySelector('main')?.prepend(panel)
void settle({ method: 'GET' })

/** @param {{ method: string, body?: string }} call */
async function settle(call) {
  const reply = await fetch('demo/refusal', {
    ...call,
    ...(call.body ? { headers: { 'content-type': 'application/json' } } : {}),
  })
  const { refusal } = await reply.json()
  for (const input of panel.querySelectorAll('input')) input.checked = input.value === refusal
  note.textContent =
    refusal === 'none'
      ? 'After a refusal, Stoker asks again only ten minutes later.'
      : (answers.find(([value]) => value === refusal)?.[2] ?? '')
}
