// @ts-check
/** The few calls on the document that every part makes. */

/**
 * @param {ParentNode} root @param {string} selector
 * @returns {HTMLElement}
 */
export function find(root, selector) {
  const element = root.querySelector(selector)
  if (element instanceof HTMLElement) return element
  throw new Error(`The page has no ${selector}.`)
}

/**
 * The one element inside the template `id`, copied.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function copy(id) {
  const template = document.getElementById(id)
  if (template instanceof HTMLTemplateElement) {
    const element = document.importNode(template.content, true).firstElementChild
    if (element instanceof HTMLElement) return element
  }
  throw new Error(`The page has no template ${id}.`)
}

/**
 * Sets text only where it differs, so that a selection or a screen reader is not disturbed each second.
 * @param {Element} element @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/** @param {string} tag @param {string} text @param {string} [className] */
export function make(tag, text, className = '') {
  const element = document.createElement(tag)
  element.textContent = text
  if (className) element.className = className
  return element
}

/**
 * Fills a description list; its rows keep their elements as long as the names stay.
 * @param {HTMLElement} list @param {readonly (readonly [name: string, value: string])[]} rows
 */
export function describe(list, rows) {
  if (list.childElementCount !== rows.length) {
    list.replaceChildren(
      ...rows.map(([name]) => {
        const row = document.createElement('div')
        row.append(make('dt', name), make('dd', ''))
        return row
      }),
    )
  }
  rows.forEach(([, value], index) => {
    const cell = list.children[index]?.lastElementChild
    if (cell) say(cell, value)
  })
}
